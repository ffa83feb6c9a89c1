"""``data.positive`` and ``data.label``: Python expressions of interactions columns and constants."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError, DataError
from ..tables.canonical import LARGEST, kind_of
from ..tables.validate import nearest
from .comparisons import as_pandas_reads, check_comparisons

if TYPE_CHECKING:
    import pyarrow as pa

_ALLOWED = (
    *(ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Invert, ast.Compare),
    *(ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.List, ast.Tuple, ast.Name),
    *(ast.Load, ast.Constant, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.BitAnd, ast.BitOr),
)
_EXAMPLE = "write a comparison of columns and constants, e.g. rating >= 4"
_RENAME = "a column whose name is no Python name gets one in data.columns"


def names_in(expression: str, key: str = "data.positive") -> set[str]:
    """The columns that an expression reads.

    Args:
        key: the config key that holds the expression, for messages.

    Raises:
        ConfigError: if it is not valid Python, has more than columns, constants, comparisons and arithmetic, or a
            constant beyond 64 bits.
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError as error:
        raise ConfigError(f"{key}: cannot read {expression!r} ({error.msg}); {_EXAMPLE}; {_RENAME}") from None
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise ConfigError(f"{key}: {type(node).__name__} in {expression!r} is not allowed; {_EXAMPLE}")
        if isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value > LARGEST:
            raise ConfigError(f"{key}: {node.value} in {expression!r} is no whole number of 64 bits, as columns are")
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def positives(table: pa.Table, expression: str | None, decimal: str = ".") -> NDArray[np.bool_]:
    """Which rows are positives: bool [n].

    Without an expression, ``label == 1`` if there is a label, else every row. A row in which a column of the expression
    is null is not a positive.

    Args:
        decimal: as in `holds`.

    Raises:
        ConfigError, DataError: as `holds`.
    """
    if expression is None:
        expression = "label == 1" if "label" in table.column_names else None
    if expression is None:
        return np.ones(table.num_rows, bool)
    return holds(table, expression, "data.positive", decimal)


def with_label(table: pa.Table, expression: str | None, decimal: str = ".") -> pa.Table:
    """The table with a column ``label`` of 0 and 1 computed by ``data.label``; unchanged without an expression.

    Args:
        decimal: as in `holds`.

    Raises:
        ConfigError: if the table has a label already, or as `holds`.
        DataError: as `holds`.
    """
    import pyarrow as pa

    if expression is None:
        return table
    if "label" in table.column_names:
        raise ConfigError(
            f"data.label: interactions has a column 'label' already, {expression!r} would replace it: leave data.label "
            "out, or rename that column with data.columns"
        )
    return table.append_column("label", pa.array(holds(table, expression, "data.label", decimal).astype(np.int64)))


def check_expression(expression: str, key: str, columns: Sequence[str]) -> list[str]:
    """The columns that an expression reads, all of which are among the ``columns`` of interactions.

    Raises:
        ConfigError: naming ``key``, the config key that holds the expression, as does `names_in`.
    """
    names = sorted(names_in(expression, key))
    for name in names:
        if name not in columns:
            hint = nearest(name, columns) or f"; it has {', '.join(columns)}"
            raise ConfigError(f"{key}: interactions has no column {name!r}{hint} ({expression})")
    return names


def holds(table: pa.Table, expression: str, key: str, decimal: str = ".") -> NDArray[np.bool_]:
    """Where an expression is true: bool [n]; false where a column that it reads is null.

    Args:
        key: the config key that holds the expression, for messages.
        decimal: the decimal sign of numbers that are text, for messages.

    Raises:
        ConfigError: if it reads an unknown column, or its value is not true or false; a column of 0 and 1 is.
        DataError: if it does not fit the types of the columns.
    """
    names = check_expression(expression, key, table.column_names)
    result = _evaluate(table.select(names), expression, key, decimal)
    if np.asarray(result).dtype.kind != "b" or np.shape(result) != (table.num_rows,):
        raise ConfigError(f"{key}: {expression!r} does not give true or false for each row; {_EXAMPLE}")
    lacking = [table[name].is_null().to_numpy() for name in names]
    found: NDArray[np.bool_] = np.asarray(result, bool) & ~np.any(lacking, axis=0)
    return found


def _stand_alone(expression: str) -> set[str]:
    """The columns that are a truth value by themselves, such as ``flag`` in ``flag and rating > 3``."""
    found: set[str] = set()
    left: list[ast.expr] = [as_pandas_reads(expression)]
    while left:
        node = left.pop()
        if isinstance(node, ast.BoolOp):
            left += node.values
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.Invert)):
            left.append(node.operand)
        elif isinstance(node, ast.Name):
            found.add(node.id)
    return found


def _filled(table: pa.Table) -> pa.Table:
    """The table without nulls, so that pandas keeps whole numbers whole; which rows had one is known to the caller."""
    import pyarrow.compute as pc

    for at, field in enumerate(table.schema):
        blank = {"int": 0, "float": 0.0, "string": ""}.get(kind_of(field.type) or "")
        if blank is not None and table[at].null_count:
            table = table.set_column(at, field.name, pc.fill_null(table[at], blank))
    return table


def _evaluate(table: pa.Table, expression: str, key: str, decimal: str) -> Any:
    check_comparisons(expression, key, table, decimal)
    frame = _filled(table).to_pandas()
    for name in _stand_alone(expression):
        if frame[name].isin([0, 1]).all():  # true and false are 1 and 0 in the table
            frame[name] = frame[name] == 1
    try:
        return frame.eval(expression, engine="python")
    except (TypeError, ValueError, SyntaxError, NotImplementedError, AttributeError) as error:
        kinds = {field.name: kind_of(field.type) for field in table.schema}
        raise DataError(f"{key}: {expression!r} cannot be applied to interactions {kinds}: {error}") from None
