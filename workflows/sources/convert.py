"""Values of a column in another type, or an error that names table, column, row and value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import DataError
from ..tables.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa

    from .types import Read


def convert(values: pa.Array, read: Read, where: str, rows: Rows, problem: str) -> pa.Array:
    """``read(values)``.

    Args:
        where: table and column.
        rows: names the rows of ``values``.
        problem: why a value cannot be read, and what to do about it.

    Raises:
        DataError: naming the first value that cannot be read.
    """
    found = _read(values, read)
    if found is None:
        row = _first_unreadable(values, read)
        raise DataError(f"{where}, {rows(row)}: {_shown(values[row])} {problem}")
    return found


def _read(values: pa.Array, read: Read) -> pa.Array | None:
    import pyarrow as pa

    try:
        return read(values)
    except pa.ArrowException:
        return None


def _first_unreadable(values: pa.Array, read: Read) -> int:
    """The first value that cannot be read, found by halving."""
    first, count = 0, len(values)
    while count > 1:
        half = count // 2
        if _read(values.slice(first, half), read) is not None:
            first, count = first + half, count - half
        else:
            count = half
    return first


def _shown(value: pa.Scalar) -> str:
    text = repr(value.as_py())
    return text if len(text) <= 80 else f"{text[:77]}..."
