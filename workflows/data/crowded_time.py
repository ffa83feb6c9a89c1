"""The notice that the parts of a split by time differ from what was asked, because many interactions have one time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..config import SplitConfig
from .split import NAMES

LEAST, ROWS = 0.5, 2
"""A part gets a notice if it differs from what was asked by more than this share of it, and by more than ROWS rows."""


def crowded_time(config: SplitConfig, stamps: NDArray[np.int64], total: NDArray[np.int64], unit: int) -> str | None:
    """What a run says if the parts are far from their shares; None if they are not.

    Args:
        stamps: [n], the timestamps of all interactions.
        total: [3], the interactions in train, valid and test.
        unit: microseconds in a step of ``stamps``.
    """
    asked = np.array([1 - config.valid_share - config.test_share, config.valid_share, config.test_share])
    more = np.abs(total - asked * len(stamps))
    if not (more > np.maximum(LEAST * asked * len(stamps), ROWS)).any():
        return None
    times, rows = np.unique(stamps, return_counts=True)
    most = int(np.argmax(rows))
    parts = ", ".join(
        f"{name} {count / len(stamps):.1%} ({share:.1%} asked)"
        for name, count, share in zip(NAMES, total, asked, strict=True)
    )
    return (
        f"data.split.by time: the parts are {parts} of the interactions, because those of one time stay together, and "
        f"{rows[most]:,} of {len(stamps):,} have the time {shown_time(int(times[most]), unit)}; choose another "
        "data.split.test_share and valid_share, or data.split.by: last_item; if that time stands for an unknown one, "
        "leave these interactions out"
    )


def shown_time(time: int, unit: int) -> str:
    """A timestamp in steps of ``unit`` microseconds, with the date if it comes from a clock."""
    day = np.datetime64(0, "us") + np.timedelta64(time * unit, "us") if abs(time) * unit < 1 << 62 else None
    clock = day is not None and time * unit >= 10**14
    return f"{time} ({day.astype('datetime64[s]')})" if clock and day is not None else str(time)
