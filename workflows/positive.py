"""``data.positive``: an expression over interactions, read as Python, allowed to name columns and constants only."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ConfigError, DataError
from .canonical import kind_of
from .validate import nearest

if TYPE_CHECKING:
    import pyarrow as pa

_ALLOWED = (
    *(ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Invert, ast.Compare),
    *(ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.List, ast.Tuple, ast.Name),
    *(ast.Load, ast.Constant, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.BitAnd, ast.BitOr),
)
_EXAMPLE = "write a comparison of columns and constants, e.g. rating >= 4"


def names_in(expression: str) -> set[str]:
    """The columns that the expression reads.

    Raises:
        ConfigError: if it cannot be read, or holds anything but columns, constants, comparisons and arithmetic.
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError as error:
        raise ConfigError(f"data.positive: cannot read {expression!r} ({error.msg}); {_EXAMPLE}") from None
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise ConfigError(f"data.positive: {type(node).__name__} in {expression!r} is not allowed; {_EXAMPLE}")
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def positives(table: pa.Table, expression: str | None) -> NDArray[np.bool_]:
    """Which rows are positives [n].

    Without an expression: ``label == 1`` where there is a label, else every row. A row that lacks a value in one of
    the columns named is none.
    """
    if expression is None:
        expression = "label == 1" if "label" in table.column_names else None
    if expression is None:
        return np.ones(table.num_rows, bool)
    names = sorted(names_in(expression))
    for name in names:
        if name not in table.column_names:
            hint = nearest(name, table.column_names)
            raise ConfigError(f"data.positive: interactions has no column {name!r}{hint} ({expression})")
    result = _evaluate(table, names, expression)
    if np.asarray(result).dtype.kind != "b" or np.shape(result) != (table.num_rows,):
        raise ConfigError(f"data.positive: {expression!r} does not give true or false for each row; {_EXAMPLE}")
    lacking = [table[name].is_null().to_numpy() for name in names]
    found: NDArray[np.bool_] = np.asarray(result, bool) & ~np.any(lacking, axis=0)
    return found


def _evaluate(table: pa.Table, names: list[str], expression: str) -> Any:
    frame = table.select(names).to_pandas(integer_object_nulls=False)
    kinds = {name: kind_of(table[name].type) for name in names}
    try:
        return frame.eval(expression, engine="python")
    except (TypeError, ValueError, SyntaxError, NotImplementedError, AttributeError) as error:
        raise DataError(f"data.positive: {expression!r} cannot be applied to interactions {kinds}: {error}") from None
