"""A hash of each row of a table, by which a changed row is found without the table that it was in before."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .codes import raw_array
from .hashing import add_numbers, add_text, bits
from .text_tables import as_utf8

if TYPE_CHECKING:
    import pyarrow as pa


def row_hashes(table: pa.Table, columns: Collection[str]) -> NDArray[np.int64]:
    """64 bits [n] for each row of ``table``, from the values of ``columns``, in whatever order these are given.

    Args:
        table: columns in canonical types: int64, float64, string, or lists of these or of float32.
    """
    hashes, found = np.zeros(len(table), np.int64), np.zeros(len(table), np.int64)
    for name in sorted(columns):
        _add(table[name], hashes, found)
    return hashes


def _add(column: pa.ChunkedArray, hashes: NDArray[np.int64], found: NDArray[np.int64]) -> None:
    """Add a column to the hashes of those before it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(column.type):
        lengths = np.asarray(pc.list_value_length(column).fill_null(0)).astype(np.int64)
        entries = np.zeros(int(lengths.sum()), np.int64)
        _add(pc.list_flatten(column), entries, entries.copy())
        add_text(entries.view(np.uint8), 8 * lengths, hashes, found)
        return
    raw = raw_array(column)
    if raw.dtype == object:
        add_text(*as_utf8(raw.tolist()), hashes, found)
    else:
        add_numbers(bits(raw), hashes, found)
