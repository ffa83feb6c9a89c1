"""Comparisons in ``data.positive`` and ``data.label`` of values that are never equal, such as text and numbers."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Mapping
from itertools import pairwise, product
from typing import TYPE_CHECKING

from ...core.errors import DataError
from ..sources.types import Forced, forced_reader_of
from ..tables.canonical import kind_of, one_array

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS = {"int": "number", "float": "number", "string": "text"}
"""Kind of a column -> what it compares with; a list compares with nothing."""
_NUMBERS: tuple[Forced, ...] = ("float", "int", "bool")
"""Types of ``data.types`` that compare with numbers."""


def tree_of(expression: str) -> ast.expr:
    """The expression's tree, in which ``&`` is ``and``, and ``|`` is ``or``."""
    signs = {"&": "and", "|": "or"}
    tokens = tokenize.generate_tokens(io.StringIO(expression.strip()).readline)
    text = " ".join(signs.get(token.string, token.string) for token in tokens)
    return ast.parse(text.strip(), mode="eval").body


def check_comparisons(expression: str, key: str, table: pa.Table, decimal: str) -> None:
    """Refuse a comparison of text with a number: ``!=`` and ``not in`` would be true of every row, ``==`` of none.

    Args:
        key: the config key that holds the expression, for messages.
        table: a chunk of interactions with the columns of the expression.
        decimal: the decimal sign of numbers that are text.

    Raises:
        DataError: naming the column, its kind, and what it is compared with.
    """
    kinds = {field.name: kind_of(field.type) for field in table.schema}
    for node in ast.walk(tree_of(expression)):
        if not isinstance(node, ast.Compare):
            continue
        for sides in pairwise([node.left, *node.comparators]):
            for left, right in product(*map(_members, sides)):
                one, other = _kind(left, kinds), _kind(right, kinds)
                if one is not None and other is not None and one != other:
                    if not isinstance(left, ast.Name):
                        left, right, other = right, left, one
                    raise DataError(
                        f"{key}: {expression!r} compares {_named(left, kinds)} with {_named(right, kinds)}, and these "
                        f"are never equal; {_remedy(left, other, table, decimal)}"
                    )


def _members(node: ast.expr) -> list[ast.expr]:
    """What a value is compared with: each entry of a list."""
    return node.elts if isinstance(node, (ast.List, ast.Tuple)) else [node]


def _kind(node: ast.expr, kinds: Mapping[str, str | None]) -> str | None:
    """What a value compares with: ``number``, ``text`` or another kind; None if that is not known."""
    if isinstance(node, ast.Name):
        kind = kinds[node.id]
        return None if kind is None else _KINDS.get(kind, kind)
    if isinstance(node, ast.Constant):
        if node.value is None:
            return None
        if isinstance(node.value, (int, float)):  # true and false are 1 and 0 in the table
            return "number"
        return "text" if isinstance(node.value, str) else type(node.value).__name__
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _kind(node.operand, kinds)
    if isinstance(node, ast.BinOp):
        left, right = _kind(node.left, kinds), _kind(node.right, kinds)
        return left if left == right else None
    return "number" if isinstance(node, (ast.Compare, ast.BoolOp, ast.UnaryOp)) else None


def _named(node: ast.expr, kinds: Mapping[str, str | None]) -> str:
    if isinstance(node, ast.Name):
        return f"interactions.{node.id} ({kinds[node.id]})"
    return f"the {_kind(node, kinds)} {ast.unparse(node)}"


def _remedy(node: ast.expr, other: str, table: pa.Table, decimal: str) -> str:
    """What to do about a value that is compared with another kind."""
    if not isinstance(node, ast.Name):
        return "compare values of one type"
    name, kind = node.id, kind_of(table[node.id].type)
    if str(kind).startswith("list_"):
        return "a list compares with nothing, take it out of the expression"
    if other == "number":
        able = [forced for forced in _NUMBERS if _reads(forced, table[name], decimal)]
        more = f" (or {', '.join(able[1:])})" if able[1:] else ""
        types = f", or set data.types: {{{name}: {able[0]}}}{more}" if able else ", since not all are numbers"
        return f"compare it with a value of its type{types}"
    hint = "compare it with a number: true and false are 1 and 0 here, times are seconds since 1970"
    return hint if other != "text" or name == "timestamp" else f"{hint}; or set data.types: {{{name}: text}}"


def _reads(forced: Forced, values: pa.ChunkedArray, decimal: str) -> bool:
    """Whether ``data.types`` can read the values as ``forced``."""
    import pyarrow as pa

    try:
        forced_reader_of(forced, decimal)(one_array(values))
    except pa.ArrowException:
        return False
    return True
