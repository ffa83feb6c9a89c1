"""Timestamps of interactions: their unit, whether they come from a clock, and their range."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .parquet import batches

CHUNK = 1_000_000
"""Rows read at once."""


def time_unit(largest: int) -> int:
    """Microseconds in one step of the timestamps, judged by the largest of them.

    Seconds since 1970 stay below 1e11 until the year 5138; milliseconds have been above 1e11 since 1973. A plain order
    (0, 1, 2 ...) counts as seconds.
    """
    return 1_000_000 if largest < 10**11 else 1000 if largest < 10**14 else 1


def is_clock(largest: int) -> bool:
    """Whether timestamps up to ``largest`` can come from a clock: seconds since 1970 have been above 1e8 since 1973."""
    return largest >= 10**8


def to_seconds(times: NDArray[np.int64], unit: int) -> NDArray[np.int64]:
    """Timestamps in whole seconds; ``unit`` is the number of microseconds in one step."""
    return times * unit // 1_000_000


def time_range(files: Sequence[Path]) -> tuple[int, int]:
    """Smallest and largest timestamp in Parquet files of interactions; (0, 0) if they have no rows."""
    import pyarrow.compute as pc

    low, high = [], []
    for file in files:
        for batch in batches(file, CHUNK, ["timestamp"]):
            found = pc.min_max(batch["timestamp"]).as_py()
            low.append(found["min"] or 0)
            high.append(found["max"] or 0)
    return min(low, default=0), max(high, default=0)
