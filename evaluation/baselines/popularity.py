"""The most popular items: of all times, or of the newest part of the log."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .past import Past
from .registered import UserScores

ALL = 1e-6
"""Weight of an older positive, which orders items that have no newer one."""


@dataclass(frozen=True)
class PopularitySetting:
    """What is tuned."""

    newest: float = 1.0
    """Share of the positives that count, the newest ones."""


GRID = {"newest": (0.5, 0.2, 0.1, 0.05, 0.02)}


def popularity(past: Past, setting: PopularitySetting) -> NDArray[np.float32]:
    """The score of each item [n_items]: its positives, of all or of the newest part of the log."""
    if setting.newest == 1 or not len(past.times):
        return past.counts.astype(np.float32)
    since = np.quantile(past.times, 1 - setting.newest)
    newer = np.bincount(past.sequences.items[past.times >= since], minlength=past.sequences.n_items)
    return np.asarray(newer + ALL * past.counts, np.float32)


def popularity_scores(past: Past, setting: PopularitySetting) -> UserScores:
    """The same scores for every user."""
    scores = popularity(past, setting)
    return lambda users: np.tile(scores, (len(users), 1))
