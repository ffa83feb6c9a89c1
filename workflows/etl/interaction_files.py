"""Interactions of the etl artifact: a memory-mapped array for each column of each split, written in parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from ..data.split import NAMES
from ..tables.ids import id_columns, rows_of
from ..tables.parquet import row_groups

INTERACTIONS, POSITIVES = "interactions", "positives"
CONTEXT, LABELS = "context", "labels"
"""Folders of a split for the columns that are context features, and for ``data.labels``."""
SCALARS = {
    **{"user_row": "int32", "item_row": "int32", "timestamp": "int64", "positive": "bool", "label": "float32"},
    "history_end": "int64",
}
"""Columns that every interaction has -> dtype. ``history_end`` is explained in ``history.Histories``."""


@dataclass(frozen=True)
class Places:
    """How many rows there will be, and where those of each part of the data artifact go."""

    first: Mapping[str, Mapping[str, int]]
    """Name of the part -> split -> its first row in the split's arrays."""
    sizes: Mapping[str, int]
    """Split -> interactions."""
    positives: NDArray[np.int64]
    """[n_users], positives of each user in all splits."""

    @classmethod
    def survey(cls, data: Path) -> Places:
        """Count, one row group after the other."""
        import pyarrow.compute as pc

        users = id_columns(data)[0]
        positives, sizes = np.zeros(len(users), np.int64), dict.fromkeys(NAMES, 0)
        first: dict[str, Mapping[str, int]] = {}
        for group in row_groups(data / INTERACTIONS):
            first.setdefault(group.file.name, dict(sizes))
            table = group.read(["user_id", "positive", "split"])
            for name in NAMES:
                sizes[name] += pc.sum(pc.equal(table["split"], name)).as_py() or 0
            owners = rows_of(table["user_id"].filter(table["positive"]), users)
            positives += np.bincount(owners, minlength=len(users))
        return cls(first, sizes, positives)


def create(folder: Path, places: Places, columns: Mapping[str, str], positives: Mapping[str, str]) -> None:
    """Make all arrays of the etl artifact in ``folder``; ``write_rows`` fills them.

    Args:
        columns: what interactions hold beside ``SCALARS``, as ``context/<name>`` or ``labels/<name>`` -> dtype.
        positives: what the users' positives hold -> dtype.
    """
    for split, size in places.sizes.items():
        for name, dtype in {**SCALARS, **columns}.items():
            _make(folder / INTERACTIONS / split / f"{name}.npy", dtype, size)
    for name, dtype in positives.items():
        _make(folder / POSITIVES / f"{name}.npy", dtype, int(places.positives.sum()))
    np.save(folder / POSITIVES / "first.npy", np.append(0, np.cumsum(places.positives)))


def _make(file: Path, dtype: str, size: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    open_memmap(file, "w+", dtype, (size,))  # type: ignore[no-untyped-call]


def write_rows(folder: Path, columns: Mapping[str, NDArray[Any]], first: int) -> None:
    """Write ``columns``, [n] each, into the arrays of their names from row ``first`` on.

    Each array is mapped for as long as that takes: pages of a file that stays mapped would count as held.
    """
    for name, values in columns.items():
        if len(values):
            array = open_memmap(folder / f"{name}.npy", "r+")  # type: ignore[no-untyped-call]
            array[first : first + len(values)] = values
