"""Asks shadow releases what was just answered, without anybody waiting for them, and counts how they differ."""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from queue import Full, Queue
from threading import Event, Lock, Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.errors import ServerError
from ....core.signature import Columns
from ...protocol.call_errors import one_line
from ...protocol.serving_file import ArmAddress
from ..latency_histogram import Series
from .joined_call import JoinedCalls
from .link import Link

_log = logging.getLogger("cascade.backend")

PERSISTENCE = 0.9
"""Of rank-biased overlap (Webber, Moffat and Zobel 2010): a reader looks at the next item with this probability."""
_EVERY_S = 5.0
"""Seconds between two times when a shadow is asked what has waited, if that is less than half of `_WAITING`: a few
joined calls disturb fewer requests than many single ones."""
_PAIRS = 1 << 20
"""Pairs of items that are compared at once: long lists of many users would take much memory."""
_WAITING = 1024
"""Requests that may wait for a shadow; more are dropped and counted, so that a slow shadow costs little memory."""
HELP = {
    "recsys_shadow_requests_total": "Requests that a shadow was to be asked, by outcome.",
    "recsys_shadow_users_total": "Users whom a shadow and the stable release have both answered.",
    "recsys_shadow_overlap_total": "Sum over users of the share of the answer's items that the shadow shows as well.",
    "recsys_shadow_rank_biased_overlap_total": "Sum over users of the rank-biased overlap of both answers.",
    "recsys_shadow_top_score_change_sum": "Sum over users of the shadow's best score minus that of the answer.",
    "recsys_shadow_other_reasons_total": "Users for whom the shadow gives other reasons.",
    "recsys_shadow_timed_requests_total": "Requests that the shadow was asked alone, so that its time can be compared.",
    "recsys_shadow_stage_seconds_total": "Seconds that passes took by stage, of answers and of the shadow asked alone.",
}


_Offered = tuple[Columns, Columns]
"""A request and its answer."""


class _Waiting:
    """What waits for a shadow."""

    def __init__(self, shadow: ArmAddress, link: Link | None) -> None:
        self.shadow, self.link, self.queue, self.wake = shadow, link, Queue[_Offered](_WAITING), Event()


class Shadows:
    """Threads that ask shadows, one for each.

    Args:
        calls: ask for several requests at once.
        stages: names of the columns of ``stages_ms``.
    """

    def __init__(
        self,
        shadows: Sequence[ArmAddress],
        links: Mapping[str, Link | None],
        calls: JoinedCalls,
        stages: Sequence[str],
    ) -> None:
        self._calls = calls
        self._counts = defaultdict[Series, float](float)
        self._lock, self._stages, self._stop = Lock(), tuple(stages), Event()
        self._waiting = [_Waiting(shadow, links[shadow.name]) for shadow in shadows]
        self._threads = [
            Thread(target=self._run, args=(each,), name=f"cascade-{each.shadow.name}", daemon=True)
            for each in self._waiting
        ]
        for thread in self._threads:
            thread.start()

    def offer(self, columns: Columns, answer: Columns) -> None:
        """A request that was answered, and the answer."""
        for each in self._waiting:
            if random.random() >= each.shadow.share:
                continue
            if each.link is None or each.link.closed:
                self._count(each.shadow, "failed")
                continue
            try:
                # Copies, because Triton and the next pass use this memory again.
                each.queue.put_nowait((_copied(columns), _copied(answer)))
            except Full:
                self._count(each.shadow, "dropped")
            if 2 * each.queue.qsize() >= _WAITING:
                each.wake.set()

    def stop(self) -> None:
        """End the threads; what waits is left."""
        self._stop.set()
        for each in self._waiting:
            each.wake.set()
        for thread in self._threads:
            thread.join()

    def values(self) -> Mapping[Series, float]:
        """All series."""
        with self._lock:
            return dict(self._counts)

    def _run(self, waiting: _Waiting) -> None:
        shadow, link, queue = waiting.shadow, waiting.link, waiting.queue
        while True:
            waiting.wake.wait(_EVERY_S)
            waiting.wake.clear()
            if self._stop.is_set():
                return
            offered = [queue.get_nowait() for _ in range(queue.qsize())]
            if link is None or not offered:
                continue
            # The first is asked alone, so that its passes can be compared; the others together, which costs less.
            first, *rest = offered
            self._ask(shadow, link, [first], timed=True)
            for places in self._calls.groups([columns for columns, _ in rest]):
                self._ask(shadow, link, [rest[at] for at in places], timed=False)

    def _ask(self, shadow: ArmAddress, link: Link, offered: Sequence[_Offered], timed: bool) -> None:
        try:
            other = self._calls.ask(link, [columns for columns, _ in offered]).outputs
            self._compare(shadow, _together([answer for _, answer in offered]), other)
            if timed:
                self._compare_times(shadow, offered[0][1], other)
        except Exception as error:  # of any kind, so that the shadow is asked again
            if not isinstance(error, ServerError):
                _log.error("the answer of %s cannot be used: %s", shadow.name, one_line(error))
            self._count(shadow, "failed", len(offered))
            return
        self._count(shadow, "answered", len(offered))

    def _count(self, shadow: ArmAddress, outcome: str, requests: int = 1) -> None:
        with self._lock:
            self._counts["recsys_shadow_requests_total", (*_labels(shadow), ("outcome", outcome))] += requests

    def _compare(self, shadow: ArmAddress, answer: Columns, other: Columns) -> None:
        unknown = np.array(["unknown_user" in text for text in answer["reasons"][:, 0]])
        values = {
            "users": np.ones(len(unknown)),
            "overlap": overlap(answer["item_ids"], other["item_ids"]),
            "rank_biased_overlap": rank_biased_overlap(answer["item_ids"], other["item_ids"]),
            "top_score_change": other["scores"][:, 0].astype(np.float64) - answer["scores"][:, 0],
            "other_reasons": (answer["reasons"] != other["reasons"])[:, 0],
        }
        with self._lock:
            for users, rows in (("known", ~unknown), ("unknown", unknown)):
                labels = (*_labels(shadow), ("users", users))
                for name, column in values.items() if rows.any() else ():
                    ending = "sum" if name == "top_score_change" else "total"  # counters must not shrink
                    self._counts[f"recsys_shadow_{name}_{ending}", labels] += float(column[rows].sum())

    def _compare_times(self, shadow: ArmAddress, answer: Columns, other: Columns) -> None:
        with self._lock:
            self._counts["recsys_shadow_timed_requests_total", _labels(shadow)] += 1
            for by, times in (("stable", answer["stages_ms"]), ("shadow", other["stages_ms"])):
                for stage, milliseconds in zip(self._stages, times[0].tolist(), strict=True):
                    labels = (*_labels(shadow), ("by", by), ("stage", stage))
                    self._counts["recsys_shadow_stage_seconds_total", labels] += milliseconds / 1000


def overlap(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """[B], share of the items of ``one`` [B, k] that are in ``other`` [B, j] as well; 1 for empty answers."""
    lists = _Compared(one, other)
    longest = np.maximum(lists.lengths, lists.others)
    return np.where(longest > 0, lists.common[:, -1] / np.maximum(longest, 1), 1.0)


def rank_biased_overlap(one: NDArray[Any], other: NDArray[Any], p: float = PERSISTENCE) -> NDArray[np.float64]:
    """[B], the extrapolated rank-biased overlap of two answers [B, k] and [B, j] (equation 32 of Webber, Moffat and
    Zobel 2010, "A similarity measure for indefinite rankings"): 1 for equal ones, 0 where no item is common."""
    lists = _Compared(one, other)
    depths = np.arange(1, lists.common.shape[1] + 1)
    s = np.minimum(lists.lengths, lists.others)[:, None]
    longest = np.maximum(lists.lengths, lists.others)[:, None]
    some = np.maximum(s, 1)  # an empty list has nothing in common with another
    at_short, at_long = (np.take_along_axis(lists.common, np.maximum(end, 1) - 1, axis=1) for end in (s, longest))
    terms = lists.common / depths + at_short * np.maximum(depths - s, 0) / (some * depths)
    total = np.where(depths <= longest, terms * p**depths, 0).sum(axis=1, keepdims=True)
    found = (1 - p) / p * total + ((at_long - at_short) / np.maximum(longest, 1) + at_short / some) * p**longest
    return np.where(longest > 0, found, 1.0)[:, 0]


class _Compared:
    """Answers of B users, with empty places at their ends.

    Attributes:
        lengths: items of ``one``, [B].
        others: items of ``other``, [B].
        common: items that both have in their first d places, for each d, [B, max(k, j, 1)].
    """

    def __init__(self, one: NDArray[Any], other: NDArray[Any]) -> None:
        there, also = one != _empty(one), other != _empty(other)
        self.lengths, self.others = there.sum(axis=1), also.sum(axis=1)
        self.common = np.zeros((len(one), max(one.shape[1], other.shape[1], 1)), np.int64)
        step = max(1, _PAIRS // max(1, one.shape[1] * other.shape[1]))
        for start in range(0, len(one), step):
            part = slice(start, start + step)
            both = there[part, :, None] & also[part, None, :]
            user, place, second = ((one[part, :, None] == other[part, None, :]) & both).nonzero()
            np.add.at(self.common[part], (user, np.maximum(place, second)), 1)
        self.common = self.common.cumsum(axis=1)


def _together(answers: Sequence[Columns]) -> dict[str, NDArray[Any]]:
    """What is compared of the answers of several requests, [users of all, ...]; shorter lists have empty places."""
    lists = [answer["item_ids"] for answer in answers]
    items = np.full((sum(map(len, lists)), max(ids.shape[1] for ids in lists)), _empty(lists[0]), lists[0].dtype)
    start = 0
    for ids in lists:
        items[start : start + len(ids), : ids.shape[1]] = ids
        start += len(ids)
    return {
        "item_ids": items,
        "scores": np.concatenate([answer["scores"][:, :1] for answer in answers]),
        "reasons": np.concatenate([answer["reasons"] for answer in answers]),
    }


def _empty(items: NDArray[Any]) -> Any:
    """What stands in places without an item."""
    return "" if items.dtype == object else -1


def _copied(columns: Columns) -> Columns:
    return {name: array.copy() for name, array in columns.items()}


def _labels(shadow: ArmAddress) -> tuple[tuple[str, str], ...]:
    return ("shadow", shadow.name), ("release", shadow.release)
