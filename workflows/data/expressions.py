"""``data.positive`` and ``data.label``: Python expressions of interactions columns and constants."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError, DataError
from ..tables.canonical import LARGEST, kind_of
from ..tables.rows import ROWS, Rows
from ..tables.validate import nearest
from .comparisons import check_comparisons, tree_of
from .truth import NoTruthError, truth_of

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

    Without an expression, ``label == 1`` if there is a label, else every row. A row for which the expression is null is
    not a positive.

    Args:
        decimal: as in `holds`.

    Raises:
        ConfigError, DataError: as `holds`.
    """
    if expression is None:
        expression = "label == 1" if "label" in table.column_names else None
    if expression is None:
        return np.ones(table.num_rows, bool)
    return np.asarray(holds(table, expression, "data.positive", decimal).fill_null(False))


def with_label(table: pa.Table, expression: str | None, decimal: str = ".", rows: Rows = ROWS) -> pa.Table:
    """The table with a column ``label`` of 0 and 1 computed by ``data.label``; unchanged without an expression.

    Args:
        decimal: as in `holds`.
        rows: names the table's rows, for messages.

    Raises:
        ConfigError: if the table has a label already, or as `holds`.
        DataError: naming the first row for which the expression is null, or as `holds`.
    """
    import pyarrow as pa

    if expression is None:
        return table
    if "label" in table.column_names:
        raise ConfigError(
            f"data.label: interactions has a column 'label' already, {expression!r} would replace it: leave data.label "
            "out, or rename that column with data.columns"
        )
    found = holds(table, expression, "data.label", decimal)
    if found.null_count:
        raise DataError(f"data.label, {_unknown(table, expression, found, rows)}")
    return table.append_column("label", found.cast(pa.int64()))


def _unknown(table: pa.Table, expression: str, found: pa.BooleanArray, rows: Rows) -> str:
    """What to say of a label that is null: the first such row, why, and what to do."""
    row = found.is_null().index(True).as_py()
    names = [name for name in sorted(names_in(expression)) if table[name].null_count]
    lacking = [name for name in names if table[name][row].as_py() is None]
    problem = f"{rows(row)}: {expression!r} is neither true nor false, "
    if not lacking:
        return (
            f"{problem}since a calculation such as 0 / 0 gives no number; leave such rows out, or test for them first"
        )
    no, yes = (sign.join(f"{name} {test} None" for name in names) for sign, test in ((" and ", "!="), (" or ", "==")))
    return (
        f"{problem}since {' and '.join(lacking)} has no value; fill it, leave such rows out, or say what they are: "
        f'"{no} and ({expression})" makes them 0, "{yes} or ({expression})" makes them 1'
    )


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


def holds(table: pa.Table, expression: str, key: str, decimal: str = ".") -> pa.BooleanArray:
    """Where an expression is true, false, or null, see `truth_of`: [n].

    Args:
        key: the config key that holds the expression, for messages.
        decimal: the decimal sign of numbers that are text, for messages.

    Raises:
        ConfigError: if it reads an unknown column, or its value is not true or false; a column of 0 and 1 is.
        DataError: if it does not fit the types of the columns.
    """
    import pyarrow as pa

    columns = table.select(check_expression(expression, key, table.column_names))
    check_comparisons(expression, key, columns, decimal)
    try:
        return truth_of(tree_of(expression), columns)
    except NoTruthError:
        raise ConfigError(f"{key}: {expression!r} does not give true or false for each row; {_EXAMPLE}") from None
    except pa.ArrowException as error:
        kinds = {field.name: kind_of(field.type) for field in columns.schema}
        raise DataError(f"{key}: {expression!r} cannot be applied to interactions {kinds}: {error}") from None
