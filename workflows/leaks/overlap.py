"""Held-out interactions that occur in another part of the split as well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

EVENT = ["user_id", "item_id", "timestamp", "positive"]
"""Interactions are the same if these columns are equal; a view and a purchase at the same time are different."""


@dataclass(frozen=True)
class Overlap:
    """Held-out interactions that occur in another part."""

    rows: int = 0
    share: float = 0.0
    """Of all held-out interactions."""
    example: str = ""
    """One of them, for messages."""


def overlap(data: Path) -> Overlap:
    """Compare the parts of the split in the data artifact ``data``, one file of whole users after the other.

    A valid row counts if it is also in train; a test row if it is also in train or valid.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    shared, held_out, example = 0, 0, ""
    for file in sorted((data / "interactions").glob("*.parquet")):
        table = pq.read_table(file, columns=[*EVENT, "split"])
        held_out += pc.sum(pc.not_equal(table["split"], "train")).as_py() or 0
        twice = _twice(table.filter(_ties(table)))
        if len(twice) and not shared:
            example = ", ".join(f"{name} {twice.iloc[0][name]}" for name in EVENT[:3])
        shared += len(twice)
    return Overlap(shared, shared / max(held_out, 1), example)


def _ties(table: pa.Table) -> NDArray[np.bool_]:
    """Rows with the user and timestamp of a neighbouring row: bool [n]. The rows are sorted by both."""
    import pyarrow.compute as pc

    same = np.ones(max(len(table) - 1, 0), bool)
    for name in ("user_id", "timestamp"):
        column = table[name]
        same &= pc.equal(column.slice(1), column.slice(0, len(same))).to_numpy()
    return np.asarray(np.append(same, False) | np.append(False, same))


def _twice(ties: pa.Table) -> pd.DataFrame:
    """The held-out rows that are also in an earlier part."""
    rows = ties.to_pandas()
    rows = rows[rows.duplicated(EVENT, keep=False)]
    part = rows["split"].map({"train": 0, "valid": 1, "test": 2})
    first = part.groupby([rows[name] for name in EVENT], sort=False).transform("min")
    return rows[part > first]
