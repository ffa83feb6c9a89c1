"""The files of interactions: a memory-mapped array for each column of each split, written in parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from ...core.disk import new_array
from ..data.split import NAMES
from ..tables.ids import id_columns, rows_of
from ..tables.parquet import row_groups

INTERACTIONS, POSITIVES = "interactions", "positives"
CONTEXT, LABELS = "context", "labels"
"""Subfolders of a split, for context features and for ``data.labels``."""
SCALARS = {
    **{"user_row": "int32", "item_row": "int32", "timestamp": "int64", "positive": "bool", "label": "float32"},
    "history_end": "int64",
}
"""Columns that all interactions have -> dtype. ``history_end`` is the ``end`` of ``history.Histories``."""


@dataclass(frozen=True)
class RowOffsets:
    """The sizes of the arrays, and where the rows of each file of the data artifact start in them."""

    first: Mapping[str, Mapping[str, int]]
    """File name -> split -> its first row in the arrays of the split."""
    sizes: Mapping[str, int]
    """Split -> number of interactions."""
    positives: NDArray[np.int64]
    """[n_users], positives of each user in all splits."""

    @classmethod
    def count(cls, data: Path) -> RowOffsets:
        """Count the interactions of the data artifact in ``data``, one row group after the other."""
        import pyarrow.compute as pc

        users = id_columns(data)[0]
        positives = np.zeros(len(users), np.int64)
        sizes: dict[str, int] = dict.fromkeys(NAMES, 0)
        first: dict[str, Mapping[str, int]] = {}
        for group in row_groups(data / INTERACTIONS):
            first.setdefault(group.file.name, dict(sizes))
            table = group.read(["user_id", "positive", "split"])
            for name in NAMES:
                sizes[name] += pc.sum(pc.equal(table["split"], name)).as_py() or 0
            owners = rows_of(table["user_id"].filter(table["positive"]), users)
            positives += np.bincount(owners, minlength=len(users))
        return cls(first, sizes, positives)


def create(folder: Path, offsets: RowOffsets, columns: Mapping[str, str], positives: Mapping[str, str]) -> None:
    """Create the arrays of interactions and positives below ``folder``; ``write_rows`` fills them.

    Args:
        columns: further columns of interactions besides ``SCALARS``, ``context/<name>`` or ``labels/<name>`` -> dtype.
        positives: columns of the users' positives -> dtype.
    """
    for split, size in offsets.sizes.items():
        for name, dtype in {**SCALARS, **columns}.items():
            _make(folder / INTERACTIONS / split / f"{name}.npy", dtype, size)
    for name, dtype in positives.items():
        _make(folder / POSITIVES / f"{name}.npy", dtype, int(offsets.positives.sum()))
    np.save(folder / POSITIVES / "first.npy", np.append(0, np.cumsum(offsets.positives)))


def _make(file: Path, dtype: str, size: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new_array(file, dtype, (size,))


def write_rows(folder: Path, columns: Mapping[str, NDArray[Any]], first: int) -> None:
    """Write ``columns``, each [n], into the arrays ``<name>.npy`` of ``folder`` from row ``first`` on.

    An array is mapped only while it is written, because the pages of a mapped file count as memory of the process.
    """
    for name, values in columns.items():
        if len(values):
            array = open_memmap(folder / f"{name}.npy", "r+")  # type: ignore[no-untyped-call]
            array[first : first + len(values)] = values
