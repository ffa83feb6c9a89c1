"""Which items are new, changed, as before and gone; where the rows of a new catalogue come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Rows = NDArray[np.int64]
FEWEST = 2
"""Items of a catalogue: of one, there is nothing to choose."""


@dataclass(frozen=True)
class CatalogueChanges:
    """A catalogue of m items, sorted by id, made from one of n and a table of t items."""

    ids: pa.Array
    """[m]."""
    old_row: Rows
    """[m], the row in the catalogue before; -1 for a new item."""
    table_row: Rows
    """[m], the row in the table; -1 for an item that is not in it."""
    renewed: NDArray[np.bool_]
    """[m], whether it is new or its values have changed."""
    hashes: NDArray[np.int64]
    """[m], of the values."""
    removed: Rows
    """Rows in the catalogue before of those that are gone, ascending."""

    @property
    def new(self) -> int:
        return int((self.old_row < 0).sum())

    @property
    def changed(self) -> int:
        return int((self.renewed & (self.old_row >= 0)).sum())

    @property
    def any(self) -> bool:
        """Whether anything differs."""
        return bool(self.renewed.any() or len(self.removed))

    @property
    def new_row(self) -> Rows:
        """[n], the row of each item of the catalogue before; -1 if it is gone."""
        found = np.full(len(self.removed) + int((self.old_row >= 0).sum()), -1)
        kept = np.flatnonzero(self.old_row >= 0)
        found[self.old_row[kept]] = kept
        return found


def catalogue_changes(
    before: pa.Array,
    hashes: NDArray[np.int64],
    table: pa.Array,
    table_hashes: NDArray[np.int64],
    remove: pa.Array | None,
) -> CatalogueChanges:
    """Compare a catalogue with a table.

    Args:
        before: ids [n].
        hashes: [n], of their values.
        table: ids [t] of the items to have, all different.
        table_hashes: [t].
        remove: ids to take off, where all others that are not in the table stay; None: only what is in the table stays.

    Raises:
        DataError: an id is to be had and taken off, or fewer than two items are left.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    found = places(table, before)
    stays = np.zeros(len(before), bool)
    if remove is not None:
        if (both := places(table, remove) >= 0).any():
            twice = table[int(both.argmax())].as_py()
            raise DataError(f"items.item_id {twice!r}: is in --add and in --remove; take it out of one of the files")
        stays = places(before, remove) < 0
        stays[found[found >= 0]] = False  # what is in the table is taken from there
    others = np.flatnonzero(stays)
    ids = joined(table, before.take(pa.array(others)))
    order = np.asarray(pc.sort_indices(ids)).astype(np.int64)
    old_row = np.concatenate([found, others])[order]
    table_row = np.concatenate([np.arange(len(table)), np.full(len(others), -1)])[order]
    now = np.concatenate([table_hashes, hashes[others]])[order]
    if len(ids) < FEWEST:
        raise DataError(f"items: {len(ids)} would be left, expected a catalogue of at least {FEWEST}")
    renewed = (old_row < 0) | (hashes[np.maximum(old_row, 0)] != now)
    removed = np.setdiff1d(np.arange(len(before)), old_row)
    return CatalogueChanges(ids.take(pa.array(order)), old_row, table_row, renewed, now, removed)


def as_arrow(ids: NDArray[Any]) -> pa.Array:
    """Raw ids [n], numbers or text, as Arrow has them."""
    import pyarrow as pa

    return pa.array(np.asarray(ids)) if ids.dtype.kind == "i" else pa.array(ids.tolist(), pa.string())


def as_numpy(ids: pa.Array) -> NDArray[Any]:
    """Raw ids [n] as a release holds them: int64, or text of the width of the longest."""
    import pyarrow as pa

    return np.asarray(ids) if pa.types.is_integer(ids.type) else np.asarray(ids.to_pylist(), dtype=np.str_)


def joined(*parts: pa.Array) -> pa.Array:
    """The ids of several arrays, one after the other."""
    import pyarrow as pa

    return pa.concat_arrays(parts)


def places(ids: pa.Array, within: pa.Array) -> Rows:
    """The place of each id, -1 for what is not there."""
    import pyarrow.compute as pc

    return np.asarray(pc.index_in(ids, value_set=within).fill_null(-1)).astype(np.int64)
