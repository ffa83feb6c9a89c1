"""Columns of a source in canonical types: int64, float64, string, and lists of these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

IDS = ("user_id", "item_id")


def kind_of(kind: pa.DataType) -> str | None:
    """The kind of a column: ``int``, ``float``, ``string``, ``list_int``, ``list_float`` or ``list_string``.

    None for any other type. Booleans, dates and times count as ``int``.
    """
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return kind_of(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = kind_of(kind.value_type)
        return f"list_{inner}" if inner in ("int", "float", "string") else None
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_temporal(kind):
        return None if types.is_duration(kind) or types.is_interval(kind) or types.is_time(kind) else "int"
    if types.is_floating(kind) or types.is_decimal(kind):
        return "float"
    return "string" if types.is_string(kind) or types.is_large_string(kind) else None


def arrow_type(kind: str) -> pa.DataType:
    """The Arrow type of a column kind: int64, float64, string, or a list of one of these."""
    import pyarrow as pa

    scalars = {"int": pa.int64(), "float": pa.float64(), "string": pa.string()}
    return pa.list_(scalars[kind.removeprefix("list_")]) if kind.startswith("list_") else scalars[kind]


def canonical(table: pa.Table, name: str, *, start: int = 0) -> pa.Table:
    """``table`` with every column in a canonical type; columns of other types are left out.

    Booleans become 0 and 1, dates and times become seconds since 1970, NaN becomes null, nulls inside lists are dropped
    and a null list becomes empty.

    Args:
        name: of the table, for messages.
        start: row number of the table's first row, for messages.

    Raises:
        DataError: if a value does not fit the canonical type, e.g. a uint64 beyond int64.
    """
    import pyarrow as pa

    columns = {}
    for field in table.schema:
        kind = kind_of(field.type)
        if kind is not None:
            try:
                columns[field.name] = _column(table[field.name], kind)
            except pa.ArrowInvalid as error:
                raise DataError(f"{name}.{field.name}, rows from {start}: wrong type {field.type}: {error}") from None
    return pa.table(columns)


def _column(column: pa.ChunkedArray, kind: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if kind.startswith("list_"):
        return _lists(array, kind)
    if pa.types.is_temporal(array.type):
        return array.cast(pa.timestamp("ns")).cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    if kind == "float":
        array = array.cast(pa.float64())
        return pc.if_else(pc.is_nan(array), pa.scalar(None, pa.float64()), array)
    return array.cast(arrow_type(kind))


def _lists(array: pa.Array, kind: str) -> pa.Array:
    """Lists of ``kind`` without nulls."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pc.list_flatten(array)
    keep = values.is_valid()
    if kind == "list_float":
        keep = pc.and_(keep, pc.invert(pc.fill_null(pc.is_nan(values), False)))
    parents = pc.list_parent_indices(array).filter(keep).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(np.bincount(parents, minlength=len(array)))])
    values = values.filter(keep).cast(arrow_type(kind).value_type)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def split_text(table: pa.Table, separators: dict[str, str]) -> pa.Table:
    """``table`` with text columns split into lists of trimmed, non-empty strings.

    Args:
        separators: column -> separator; names of other columns are ignored.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, separator in separators.items():
        if name in table.column_names and kind_of(table[name].type) == "string":
            parts = pc.split_pattern(_column(table[name], "string"), separator)
            trimmed = pc.utf8_trim_whitespace(pc.list_flatten(parts))
            filled = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
            lists = _lists(pa.ListArray.from_arrays(parts.fill_null([]).offsets, filled), "list_string")
            table = table.set_column(table.column_names.index(name), name, lists)
    return table
