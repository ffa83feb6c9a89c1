"""Window training: one encoded history gives the queries of several successive positives of its user.

The history of an event without its first p items is the history of the p-th event before it. The events of a user are
therefore cut into windows of up to ``size`` successive events: only the newest event's history is encoded, and the p-th
event before it is a query at position p (Kang and McAuley, "Self-attentive sequential recommendation", 2018, whose
window is a user's whole sequence). Since histories have a fixed length, a query at position p sees up to p items fewer
than it would in a history of its own. Context features stay those of each event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.features import GAP, HISTORY
from ..training.rows import PLACE, WINDOW, Events

Positions = NDArray[np.int64]
SHARED = (HISTORY, GAP)
"""Columns of a batch with one row per window."""
BLOCK = 1 << 16
"""Events whose histories are compared at once."""


class Windows:
    """Batches of events that share the histories of their windows.

    Args:
        events: positives, sorted by user and time.
        codes: int32 [n_items], the item code of each item row.
        size: the largest number of events in a window.
    """

    def __init__(self, events: Events, codes: NDArray[np.int32], size: int) -> None:
        self.events, self.size = events, size
        starts = ~continues(events, codes)
        self._chain = np.cumsum(starts) - 1
        self._last = np.append(np.flatnonzero(starts)[1:], len(events))[self._chain] - 1
        """[n], the last event of the chain of successive events that each event belongs to."""

    @property
    def per_row(self) -> float:
        """About how many histories a batch has per row."""
        lengths = np.bincount(self._chain)
        return float(np.ceil(lengths / self.size).sum() / max(len(self.events), 1))

    def cut(self, rng: np.random.Generator) -> Positions:
        """Cut all events into windows, with a random offset: the newest event int64 [n] of each event's window."""
        at = np.arange(len(self.events))
        shift = rng.integers(0, self.size, self._chain[-1:].max(initial=-1) + 1)[self._chain]
        back = self._last - at
        newest = np.maximum((back + shift) // self.size * self.size - shift, 0)
        return np.asarray(self._last - newest, np.int64)

    def batches(self, size: int, rng: np.random.Generator, kept: Positions | None = None) -> Iterator[dict[str, Any]]:
        """The events of an epoch in full batches: windows in random order, the events of a window together.

        Args:
            size: batch size B; the last, incomplete batch is left out.
            kept: numbers of the epoch's events; all by default.

        Yields:
            ``user_row``, ``item_row``, ``WINDOW`` and ``PLACE`` int32 [B], context features [B, 1], and ``history``
            and, if the schema has it, ``history_gap`` [windows, N].
        """
        newest = self.cut(rng)
        windows, which = np.unique(newest, return_inverse=True)
        order = np.argsort(rng.permutation(len(windows))[which], kind="stable")
        if kept is not None:
            order = order[np.isin(order, kept)]
        for start in range(0, len(order) - size + 1, size):
            at = order[start : start + size]
            yield self.read(at, newest[at])

    def read(self, at: Positions, newest: Positions) -> dict[str, Any]:
        """A batch of the events ``at`` [B], each in the window whose newest event is ``newest`` [B]."""
        shown, window = np.unique(newest, return_inverse=True)
        moment = self.events.moment
        shared = {name: np.asarray(moment[name][shown]) for name in SHARED if name in moment}
        own = {name: np.asarray(values[at]) for name, values in moment.items() if name not in shared}
        places = {WINDOW: window.astype(np.int32), PLACE: (newest - at).astype(np.int32)}
        rows = {"user_row": self.events.user_row[at], "item_row": self.events.item_row[at]}
        return {**rows, **own, **shared, **places}


def own_windows(batch: Mapping[str, Any]) -> dict[str, Any]:
    """The histories [windows, N] that the rows of ``batch`` need, and their ``WINDOW`` [B] renumbered for these.

    A window whose rows are on two workers is encoded by both; the gradients of a row do not depend on that.

    Args:
        batch: ``WINDOW`` [B], and the `SHARED` columns of all windows of the whole batch.
    """
    read, window = np.unique(batch[WINDOW], return_inverse=True)
    return {WINDOW: window.astype(np.int32), **{name: batch[name][read] for name in SHARED if name in batch}}


def continues(events: Events, codes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """bool [n]: whether an event's history is the history of the event before it, with that event's item in front.

    It is not at a user's first event, where the split took out an event between the two, or where time gaps are counted
    from the event rather than from item to item. A window ends there.
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
