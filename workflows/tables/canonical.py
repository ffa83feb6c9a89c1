"""Columns of a source in canonical types: int64, float64, string, and lists of these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import DataError
from .other_types import is_empty, replacement
from .rows import ROWS, Rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    RowOf = Callable[[int], str]

IDS = ("user_id", "item_id")
LARGEST, SMALLEST = 2**63 - 1, -(2**63)
"""Of int64; the smallest one means "missing" in a request and in the tables of codes."""
STEPS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Unit of a date or time -> its steps in a second."""


def kind_of(kind: pa.DataType) -> str | None:
    """The kind of a column: ``int``, ``float``, ``string``, ``list_int``, ``list_float`` or ``list_string``.

    None for any other type. Booleans, dates, times and decimals without a fraction count as ``int``.
    """
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return kind_of(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = kind_of(kind.value_type)
        return f"list_{inner}" if inner in ("int", "float", "string") else None
    if types.is_integer(kind) or types.is_boolean(kind) or (types.is_temporal(kind) and not types.is_interval(kind)):
        return "int"
    if types.is_decimal(kind):
        return "int" if kind.scale <= 0 else "float"
    if types.is_floating(kind):
        return "float"
    return "string" if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) else None


def arrow_type(kind: str) -> pa.DataType:
    """The Arrow type of a column kind: int64, float64, string, or a list of one of these."""
    import pyarrow as pa

    scalars = {"int": pa.int64(), "float": pa.float64(), "string": pa.string()}
    return pa.list_(scalars[kind.removeprefix("list_")]) if kind.startswith("list_") else scalars[kind]


def canonical(table: pa.Table, name: str, rows: Rows = ROWS) -> pa.Table:
    """``table`` with every column in a canonical type; columns without any value, of type null, are left out.

    Booleans become 0 and 1, dates and times become seconds since 1970 (times of day and durations: seconds), NaN
    becomes null, nulls inside lists are dropped and a null list becomes empty. Every other value stays exactly what it
    is; only decimals with a fraction, and floats of 32 or 16 bits by their shortest decimal (0.1), become the nearest
    float64.

    Args:
        name: of the table, for messages.
        rows: names the table's rows, for messages.

    Raises:
        DataError: if a column is of a type that has no canonical one, such as a struct, or a value does not fit, e.g. a
            uint64 beyond int64, a time that lies between two seconds, or text with a NUL.
    """
    import pyarrow as pa

    columns = {}
    for field in table.schema:
        kind = kind_of(field.type)
        if kind is None and not is_empty(field.type):
            title = "; or name another column in data.title" if field.name == "title" else ""
            raise DataError(
                f"{name}.{field.name}: wrong type {field.type}, expected numbers, text, times, or lists of these; "
                f"{replacement(field.type, field.name)}{title}"
            )
        if kind is not None:
            columns[field.name] = _column(table[field.name], kind, f"{name}.{field.name}", rows)
    return pa.table(columns)


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """The column as one array; of categories, their values."""
    import pyarrow as pa

    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _column(column: pa.ChunkedArray, kind: str, where: str, rows: Rows) -> pa.Array:
    array = one_array(column)
    if kind.startswith("list_"):
        return _lists(array, kind, where, rows)
    return _scalars(array, kind, where, rows)


def _scalars(array: pa.Array, kind: str, where: str, row_of: RowOf, listed: bool = False) -> pa.Array:
    """Numbers or text as int64, float64 or string; ``listed``: they are entries of lists."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind == "int":
        return (_seconds if pa.types.is_temporal(array.type) else whole_numbers)(array, where, row_of, listed)
    if kind == "float":
        array = as_floats(array)
        return pc.if_else(pc.is_nan(array), pa.scalar(None, pa.float64()), array)
    return _no_nul(as_text(array), where, row_of)


def _no_nul(array: pa.Array, where: str, row_of: RowOf) -> pa.Array:
    """Text without the character NUL, at which numpy's and C's strings end."""
    import pyarrow.compute as pc

    found = pc.match_substring(array, "\0")
    if pc.any(found).as_py():
        at = pc.index(found, True).as_py()
        shown = repr(array[at].as_py())
        raise DataError(
            f"{where}, {row_of(at)}: {shown[:80]} holds the character NUL (\\0), which text must not; "
            "remove it in the table"
        )
    return array


def as_text(array: pa.Array) -> pa.Array:
    """Text of any type as string."""
    import pyarrow as pa

    if pa.types.is_string_view(array.type):  # Arrow 17 has no cast from them
        return pa.array(array.to_pylist(), pa.string())
    return array.cast(pa.string())


def as_floats(array: pa.Array) -> pa.Array:
    """Floats or decimals as float64.

    A float of 32 or 16 bits with a fraction becomes its shortest decimal, 0.1 and not 0.10000000149, because that is
    what requests and constants say.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_float16(array.type):  # Arrow 17 has no cast from them, and fills no null
        values = np.array([np.nan if value is None else float(str(value)) for value in array.to_pylist()], np.float64)
        return pa.array(values, mask=np.asarray(array.is_null()))
    if pa.types.is_float32(array.type):
        whole = pc.equal(pc.floor(array), array)
        return pc.if_else(whole, array.cast(pa.float64()), array.cast(pa.string()).cast(pa.float64()))
    if pa.types.is_decimal(array.type):  # Arrow's own cast of 5.77 gives another float than 5.77
        array = array.cast(pa.string())
    return array.cast(pa.float64())


def largest_exact(kind: pa.DataType) -> float:
    """A float of this type holds each smaller whole number exactly."""
    return {"halffloat": 2.0**11, "float": 2.0**24}.get(str(kind), 2.0**53)


def whole_numbers(array: pa.Array, where: str, row_of: RowOf, listed: bool = False) -> pa.Array:
    """Integers, booleans or decimals without a fraction as int64, exactly.

    Args:
        where: table and column, for messages.
        row_of: names the row of a value.
        listed: whether the values are entries of lists.

    Raises:
        DataError: naming the first value that int64 does not hold, or that stands for a missing one.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        found = array.cast(pa.int64())
    except pa.ArrowInvalid:  # a value beyond int64, which is named below
        found = None
    if found is not None and pc.min(found).as_py() != SMALLEST:
        return found
    at = next(
        at for at, value in enumerate(array.to_pylist()) if value is not None and not -LARGEST <= value <= LARGEST
    )
    way_out = "write the entries as text in the table"
    if not listed:
        way_out = f"data.types: {{{where.partition('.')[2]}: text}} keeps such numbers as text"
    raise DataError(
        f"{where}, {row_of(at)}: {int(array[at].as_py())} is out of range, expected -{LARGEST} to {LARGEST}; "
        f"{way_out}; if it stands for a missing value, write null"
    )


def _seconds(array: pa.Array, where: str, row_of: RowOf, listed: bool) -> pa.Array:
    """Dates and times as int64 seconds since 1970, times of day as seconds since midnight, durations as seconds."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("s" if pa.types.is_date32(array.type) else "ms"))
    steps = array.cast(pa.int32() if pa.types.is_time32(array.type) else pa.int64()).cast(pa.int64())
    per_second = STEPS[array.type.unit]
    seconds = pc.divide(steps, per_second)
    rest = pc.not_equal(pc.multiply(seconds, per_second), steps)
    if pc.any(rest).as_py():
        at = pc.index(rest, True).as_py()
        text = "write text" if listed else f"set data.types: {{{where.partition('.')[2]}: text}}"
        raise DataError(
            f"{where}, {row_of(at)}: {array[at]} is no whole second; times other than timestamp are read in "
            f"seconds: cut the fraction off in the table, or {text}"
        )
    return seconds


def _lists(array: pa.Array, kind: str, where: str, rows: Rows) -> pa.Array:
    """Lists of ``kind`` without nulls."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_fixed_size_list(array.type):  # below a null it has values of its own
        array = array.cast(pa.list_(array.type.value_type))
    values = pc.list_flatten(array)
    values = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
    parents = np.asarray(pc.list_parent_indices(array))
    values = _scalars(values, kind.removeprefix("list_"), where, lambda at: rows(int(parents[at])), listed=True)
    keep = values.is_valid()
    offsets = np.concatenate([[0], np.cumsum(np.bincount(parents[np.asarray(keep)], minlength=len(array)))])
    values = values.filter(keep)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def split_text(table: pa.Table, separators: dict[str, str], of: str, rows: Rows) -> pa.Table:
    """``table`` with text columns split into lists of trimmed, non-empty strings.

    Args:
        separators: column -> separator; names of other columns are ignored.
        of: the table's name, for messages.
        rows: names its rows, for messages.

    Raises:
        DataError: naming the row of text with a NUL.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, separator in separators.items():
        if name in table.column_names and kind_of(table[name].type) == "string":
            parts = pc.split_pattern(_column(table[name], "string", f"{of}.{name}", rows), separator)
            trimmed = pc.utf8_trim_whitespace(pc.list_flatten(parts))
            filled = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
            divided = pa.ListArray.from_arrays(parts.fill_null([]).offsets, filled)
            lists = _lists(divided, "list_string", f"{of}.{name}", rows)
            table = table.set_column(table.column_names.index(name), name, lists)
    return table
