"""Three-valued logic of ``data.positive`` and ``data.label``, as in SQL: true, false, and null (not known)."""

from __future__ import annotations

import ast
from functools import reduce
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

    Value: TypeAlias = pa.Array | pa.Scalar

_ORDERS = {
    ast.Eq: "equal", ast.NotEq: "not_equal", ast.Lt: "less", ast.LtE: "less_equal", ast.Gt: "greater",
    ast.GtE: "greater_equal",
}  # fmt: skip
_ARITHMETIC = {ast.Add: "add_checked", ast.Sub: "subtract_checked", ast.Mult: "multiply_checked", ast.Div: "divide"}


class NoTruthError(Exception):
    """What should be true or false is a number, text or a list."""


def truth_of(tree: ast.expr, columns: pa.Table) -> pa.BooleanArray:
    """Where an expression is true, false or null: [n].

    A comparison of a null is null, except that ``x == None`` asks whether x is null. ``true or null`` is true, ``false
    and null`` is false, ``not null`` is null. ``x in [a, b]`` is ``x == a or x == b``.

    Args:
        tree: of columns and constants; a column of 0 and 1 is a truth value by itself.
        columns: in canonical types, [n].

    Raises:
        NoTruthError: if the expression is no truth value for each row.
        pa.ArrowException: if it does not fit the types of the columns.
    """
    import pyarrow as pa

    found = _Reader(columns).truth(tree)
    if isinstance(found, pa.Scalar):  # n in [], or constants alone
        if not columns.num_columns:
            raise NoTruthError
        return pa.repeat(found, columns.num_rows)
    return found


class _Reader:
    """Evaluates the nodes of a tree."""

    def __init__(self, columns: pa.Table) -> None:
        self.columns = columns

    def truth(self, node: ast.expr) -> Value:
        """A node as true, false or null."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = self.value(node)
        if isinstance(node, ast.Name) and _is_number(found.type):
            if not pc.all(pc.is_in(found.drop_null(), value_set=pa.array([0, 1], found.type)), min_count=0).as_py():
                raise NoTruthError
            found = pc.equal(found, pa.scalar(1, found.type))
        if pa.types.is_null(found.type):
            return found.cast(pa.bool_())
        if not pa.types.is_boolean(found.type):
            raise NoTruthError
        return found

    def value(self, node: ast.expr) -> Value:
        """A node's value: an array [n], or a constant."""
        import pyarrow as pa
        import pyarrow.compute as pc

        match node:
            case ast.Name():
                return _plain(self.columns[node.id])
            case ast.Constant():
                return pa.scalar(node.value)
            case ast.BoolOp():
                join = pc.and_kleene if isinstance(node.op, ast.And) else pc.or_kleene
                return reduce(join, map(self.truth, node.values))
            case ast.UnaryOp(op=ast.USub()):
                return pc.negate_checked(_number(self.value(node.operand)))
            case ast.UnaryOp():
                return pc.invert(self.truth(node.operand))
            case ast.BinOp():
                return _calculated(node.op, self.value(node.left), self.value(node.right))
            case ast.Compare():
                sides = [node.left, *node.comparators]
                pairs = zip(node.ops, sides[:-1], sides[1:], strict=True)
                return reduce(pc.and_kleene, [self._compared(*pair) for pair in pairs])
        raise pa.ArrowTypeError(f"{ast.unparse(node)} is a list, which stands only behind in, not in, == and !=")

    def _compared(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Value:
        import pyarrow as pa
        import pyarrow.compute as pc

        if isinstance(left, (ast.List, ast.Tuple)) and isinstance(op, (ast.Eq, ast.NotEq)):
            left, right = right, left
        if isinstance(right, (ast.List, ast.Tuple)) and isinstance(op, (ast.Eq, ast.NotEq, ast.In, ast.NotIn)):
            found = self._among(self.value(left), right.elts)
            return found if isinstance(op, (ast.Eq, ast.In)) else pc.invert(found)
        if isinstance(op, (ast.In, ast.NotIn)):
            raise pa.ArrowTypeError(f"{ast.unparse(right)} is no list such as ['a', 'b'], which in and not in need")
        return _ordered(op, self.value(left), self.value(right))

    def _among(self, sought: Value, members: list[ast.expr]) -> Value:
        """Whether a value is one of ``members``."""
        import pyarrow as pa
        import pyarrow.compute as pc

        equal = [_ordered(ast.Eq(), sought, self.value(member)) for member in members]
        return reduce(pc.or_kleene, equal, pa.scalar(False))


def _ordered(op: ast.cmpop, left: Value, right: Value) -> Value:
    """A comparison; one with the constant None asks whether the other side is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if left == pa.scalar(None):
        left, right = right, left
    if right == pa.scalar(None):
        if not isinstance(op, (ast.Eq, ast.NotEq)):
            raise pa.ArrowTypeError("None is compared with == and != alone")
        return pc.is_null(left) if isinstance(op, ast.Eq) else pc.is_valid(left)
    return pc.call_function(_ORDERS[type(op)], list(_alike(left, right)))


def _calculated(op: ast.operator, left: Value, right: Value) -> Value:
    """A calculation; what is no number, such as 0 / 0, is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(op, ast.Add) and pa.types.is_string(left.type) and pa.types.is_string(right.type):
        return pc.binary_join_element_wise(left, right, "")
    left, right = _alike(left, right)
    if isinstance(op, ast.Div):
        left, right = (pc.cast(side, pa.float64(), safe=False) for side in (left, right))
    found = pc.call_function(_ARITHMETIC[type(op)], [left, right])
    if not pa.types.is_floating(found.type):
        return found
    return pc.if_else(pc.is_nan(found), pa.scalar(None, pa.float64()), found)


def _alike(left: Value, right: Value) -> tuple[Value, Value]:
    """Two values in one type, in which they can be compared: whole numbers beside a float as the floats nearest."""
    import pyarrow as pa
    import pyarrow.compute as pc

    left, right = _number(left), _number(right)
    if pa.types.is_null(left.type) or pa.types.is_null(right.type):  # a column without values
        kind = next((side.type for side in (left, right) if not pa.types.is_null(side.type)), pa.int64())
        return left.cast(kind), right.cast(kind)
    if pa.types.is_integer(left.type) and pa.types.is_floating(right.type):
        return pc.cast(left, pa.float64(), safe=False), right
    if pa.types.is_floating(left.type) and pa.types.is_integer(right.type):
        return left, pc.cast(right, pa.float64(), safe=False)
    return left, right


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array, NaN as null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return (
        pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array) if pa.types.is_floating(array.type) else array
    )


def _number(value: Value) -> Value:
    """True and false as 1 and 0, as tables have them; other values as they are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.cast(value, pa.int64()) if pa.types.is_boolean(value.type) else value


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
