"""Checks of pretrained vectors: lists of finite numbers, all of one length; an item may have none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from ..tables.canonical import kind_of
from ..tables.rows import ROWS, Rows

if TYPE_CHECKING:
    import pyarrow as pa


def vector_columns(items: pa.Table, names: Sequence[str], rows: Rows = ROWS) -> dict[str, pa.Array]:
    """Those columns ``names`` of ``items`` that hold lists of numbers, as list<float32>; a missing vector is empty.

    They are float32, unlike other lists (float64), because they are by far the largest columns.

    Args:
        rows: names the rows of ``items``, for messages.

    Raises:
        DataError: naming column and row, if lists differ in length, a number is missing or infinite, or no row has one.
    """
    found = [n for n in names if n in items.column_names and kind_of(items[n].type) in ("list_float", "list_int")]
    return {name: _checked(items, name, rows) for name in found}


def _checked(items: pa.Table, name: str, rows: Rows) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = items[name].cast(pa.list_(pa.float32()), safe=False).combine_chunks()
    lists = pa.concat_arrays(lists.chunks) if isinstance(lists, pa.ChunkedArray) else lists
    sizes = np.asarray(pc.list_value_length(lists).fill_null(0))
    given = sizes[sizes > 0]
    if not len(given):
        raise DataError(f"items.{name}: no row holds a vector")
    width = int(np.bincount(given).argmax())
    other = (sizes > 0) & (sizes != width)
    _refuse(items, name, rows, other, f"expected {width} numbers as in most rows, has {sizes[other.argmax()]}")
    # Not list_parent_indices, which also counts the numbers below a null of a fixed-size list.
    values, owners = pc.list_flatten(lists), np.repeat(np.arange(len(lists)), sizes)
    wrong = ~np.asarray(pc.fill_null(pc.is_finite(values), False))
    bad = np.zeros(len(lists), bool)
    bad[owners[wrong]] = True
    _refuse(items, name, rows, bad, "expected finite numbers, one is missing, NaN or infinite")
    offsets = np.append(0, np.cumsum(sizes)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def _refuse(items: pa.Table, name: str, rows: Rows, wrong: NDArray[np.bool_], why: str) -> None:
    """Raise a DataError for the first of the ``wrong`` rows [n], if there is one."""
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"items.{name}, {rows(row)} (item_id {items['item_id'][row].as_py()!r}): {why}")
