"""Training on windows: a reading of one history gives the queries of several successive positives of its user.

What an event's history holds but for its first p items is the history of the event p places before it. So the events of
a user are cut into windows of up to ``size`` successive ones; the newest brings its history, and each is a query at its
place in there (Kang and McAuley, "Self-attentive sequential recommendation", 2018, whose window is a user's whole
sequence). An event p places back has up to p items fewer behind it than when it is read alone. What belongs to an event
alone, its context features, stays its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.features import GAP, HISTORY
from ..training.rows import PLACE, WINDOW, Events

Places = NDArray[np.int64]
SHARED = (HISTORY, GAP)
"""What of a batch is a row for each window."""
BLOCK = 1 << 16
"""Events whose histories are compared at once."""


class Windows:
    """Batches of events, read by window.

    Args:
        events: positives, each user's together and in order of time.
        codes: int32 [n_items], of each item row.
        size: most events of a window.
    """

    def __init__(self, events: Events, codes: NDArray[np.int32], size: int) -> None:
        self.events, self.size = events, size
        starts = ~follows(events, codes)
        self._chain = np.cumsum(starts) - 1
        self._last = np.append(np.flatnonzero(starts)[1:], len(events))[self._chain] - 1
        """Of each event, the last of those that follow each other."""

    @property
    def per_row(self) -> float:
        """About how many histories a batch reads for each of its rows."""
        lengths = np.bincount(self._chain)
        return float(np.ceil(lengths / self.size).sum() / max(len(self.events), 1))

    def cut(self, rng: np.random.Generator) -> Places:
        """The newest event [n] of each one's window; each event is in one. Where the cuts are is drawn."""
        at = np.arange(len(self.events))
        shift = rng.integers(0, self.size, self._chain[-1:].max(initial=-1) + 1)[self._chain]
        back = self._last - at
        newest = np.maximum((back + shift) // self.size * self.size - shift, 0)
        return np.asarray(self._last - newest, np.int64)

    def batches(self, size: int, rng: np.random.Generator, kept: Places | None = None) -> Iterator[dict[str, Any]]:
        """All events but what is over, in batches of ``size``: windows in random order, each one's events together.

        Args:
            kept: the events of the epoch; all by default.

        Yields:
            ``user_row``, ``item_row``, ``window`` and ``place`` int32 [size], context features [size, 1], and
            ``history``, and ``history_gap`` if there is one, [windows, N].
        """
        newest = self.cut(rng)
        windows, which = np.unique(newest, return_inverse=True)
        order = np.argsort(rng.permutation(len(windows))[which], kind="stable")
        if kept is not None:
            order = order[np.isin(order, kept)]
        for start in range(0, len(order) - size + 1, size):
            at = order[start : start + size]
            yield self.read(at, newest[at])

    def read(self, at: Places, newest: Places) -> dict[str, Any]:
        """A batch of the events ``at`` [B], each in the window of the event ``newest`` [B]."""
        shown, window = np.unique(newest, return_inverse=True)
        moment = self.events.moment
        shared = {name: np.asarray(moment[name][shown]) for name in SHARED if name in moment}
        own = {name: np.asarray(values[at]) for name, values in moment.items() if name not in shared}
        places = {WINDOW: window.astype(np.int32), PLACE: (newest - at).astype(np.int32)}
        rows = {"user_row": self.events.user_row[at], "item_row": self.events.item_row[at]}
        return {**rows, **own, **shared, **places}


def read_by(batch: Mapping[str, Any]) -> dict[str, Any]:
    """The histories that the rows of ``batch`` read, and their ``window`` [B] among these.

    A window that is cut, since some of its rows are another worker's, is read by both: what a row learns from it does
    not depend on how many others do.

    Args:
        batch: ``window`` [B], and ``SHARED`` [windows, N] with more windows than these.
    """
    read, window = np.unique(batch[WINDOW], return_inverse=True)
    return {WINDOW: window.astype(np.int32), **{name: batch[name][read] for name in SHARED if name in batch}}


def follows(events: Events, codes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """[n]: whether an event's history is that of the event before it with that one's item in front.

    It is not where a user begins, where a split took something between them, or where a time gap is told from the event
    rather than from item to item; there a window ends.
    """
    count = len(events)
    found = np.zeros(count, bool)
    lists = [events.moment[name] for name in SHARED if name in events.moment]
    for start in range(1, count, BLOCK):
        now = np.arange(start, min(start + BLOCK, count))
        same = events.user_row[now] == events.user_row[now - 1]
        for values in lists:
            same &= (np.asarray(values[now])[:, 1:] == np.asarray(values[now - 1])[:, :-1]).all(axis=1)
        front = np.asarray(events.moment[HISTORY][now])[:, 0]
        found[now] = same & (front == codes[events.item_row[now - 1]])
    return found
