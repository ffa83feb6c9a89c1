"""Columns of types that no feature has, such as structures: what to write in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def is_empty(kind: pa.DataType) -> bool:
    """Whether a column of this type holds no value at all."""
    import pyarrow as pa

    inner = kind.value_type if _is_list(kind) else kind
    return bool(pa.types.is_null(inner))


def replacement(kind: pa.DataType, column: str) -> str:
    """What to do about a column of a type that is neither a number, text, a time nor a list of these."""
    import pyarrow as pa

    types = pa.types
    kind = kind.value_type if types.is_dictionary(kind) else kind
    if _is_binary(kind):
        return f"data.types: {{{column}: text}} reads bytes that are UTF-8; write others as text in the table"
    if types.is_struct(kind):
        return f"write the fields that are needed ({_fields(kind)}) as columns of their own in the table"
    if types.is_map(kind):
        return "write the keys that are needed as columns of their own in the table"
    if _is_list(kind):
        inner = kind.value_type
        if types.is_struct(inner):
            return f"write a list of one of the fields ({_fields(inner)}) in the table"
        return "write a list of numbers or of text, without lists in it, in the table"
    return "write it as numbers or text in the table"


def _fields(kind: pa.DataType) -> str:
    return ", ".join(field.name for field in kind)


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))
