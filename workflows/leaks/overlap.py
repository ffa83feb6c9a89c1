"""Held-out interactions that another part of the split holds as well."""

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
"""What makes two interactions the same; a view and a purchase at the same time are two."""


@dataclass(frozen=True)
class Overlap:
    """``rows`` held-out interactions that are elsewhere as well, their ``share``, and one of them."""

    rows: int = 0
    share: float = 0.0
    example: str = ""


def overlap(data: Path) -> Overlap:
    """Compare the parts of the split of the data artifact in ``data``, file by file: a user's events are in one file.

    A row of valid counts if it is in train, one of test if it is in train or valid.
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
    """Rows [n] that have the user and time of a neighbour; rows are sorted by both."""
    import pyarrow.compute as pc

    same = np.ones(max(len(table) - 1, 0), bool)
    for name in ("user_id", "timestamp"):
        column = table[name]
        same &= pc.equal(column.slice(1), column.slice(0, len(same))).to_numpy()
    return np.asarray(np.append(same, False) | np.append(False, same))


def _twice(ties: pa.Table) -> pd.DataFrame:
    """Held-out rows that are in an earlier part, too."""
    rows = ties.to_pandas()
    rows = rows[rows.duplicated(EVENT, keep=False)]
    part = rows["split"].map({"train": 0, "valid": 1, "test": 2})
    first = part.groupby([rows[name] for name in EVENT], sort=False).transform("min")
    return rows[part > first]
