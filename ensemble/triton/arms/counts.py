"""What is counted of each arm, for those who compare them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.signature import Columns
from ..latency_histogram import Series, StageHistogram

_USERS = "users of the arm"
HELP = {
    "recsys_arm_users_total": "Users whom the release of their arm answered, while there are arms.",
    "recsys_arm_unavailable_users_total": "Users of an arm whom the stable release answered in its place.",
    "recsys_arm_degraded_users_total": f"Answers to {_USERS} that have the reason.",
    "recsys_arm_empty_users_total": f"Empty answers to {_USERS}.",
    "recsys_arm_items_total": f"Items in all answers to {_USERS}.",
    "recsys_arm_filled_places_total": f"Sum of the share of the places asked for that have an item, over {_USERS}.",
    "recsys_arm_top_score_total": f"Sum of the best item's score, over {_USERS}.",
    "recsys_arm_top_score_squares_total": f"Sum of the square of the best item's score, over {_USERS}.",
    "recsys_arm_latency_seconds_bucket": "Answers of an arm that took at most le seconds.",
    "recsys_arm_latency_seconds_sum": "Sum of the seconds that the answers of an arm took.",
    "recsys_arm_latency_seconds_count": "Answers of an arm; one answers all requests that were joined.",
}


class ArmCounters:
    """Counters by arm and release."""

    def __init__(self) -> None:
        self._counts: dict[Series, float] = {}
        self._latency: dict[tuple[tuple[str, str], ...], StageHistogram] = {}
        self._lock = Lock()

    def answered(self, arm: str, release: str, answers: Sequence[Columns], seconds: float) -> None:
        """Count the answers [B, ...] of the arm's release to requests that were joined."""
        labels = _labels(arm, release)
        with self._lock:
            for answer in answers:
                self._count(labels, answer)
            self._latency.setdefault(labels, StageHistogram([arm])).observe({arm: seconds})

    def _count(self, labels: tuple[tuple[str, str], ...], answer: Columns) -> None:
        found, places = _shown(answer), max(answer["item_ids"].shape[1], 1)
        counted: dict[str, float] = {"users": len(found), "items": int(found.sum())}
        counted |= {"empty_users": int((found == 0).sum()), "filled_places": float(found.sum() / places)}
        if "scores" in answer and answer["scores"].shape[1]:
            best = answer["scores"][:, 0].astype(np.float64)
            counted |= {"top_score": float(best.sum()), "top_score_squares": float((best**2).sum())}
        for name, count in counted.items():
            self._add(name, labels, count)
        for why, count in Counter(why for text in answer["reasons"][:, 0] for why in text.split(",") if why).items():
            self._add("degraded_users", (*labels, ("reason", why)), count)

    def unavailable(self, arm: str, release: str, users: int) -> None:
        """Count users whom the stable release answered in place of the arm's."""
        with self._lock:
            self._add("unavailable_users", _labels(arm, release), users)

    def _add(self, name: str, labels: tuple[tuple[str, str], ...], count: float) -> None:
        series = f"recsys_arm_{name}_total", labels
        self._counts[series] = self._counts.get(series, 0) + count

    def values(self) -> Mapping[Series, float]:
        """All series."""
        with self._lock:
            out: dict[Series, float] = dict(self._counts)
            for labels, histogram in self._latency.items():
                for (name, own), value in histogram.values().items():
                    rest = tuple(label for label in own if label[0] != "stage")
                    out[name.replace("recsys_latency", "recsys_arm_latency"), (*labels, *rest)] = value
            return out


def _labels(arm: str, release: str) -> tuple[tuple[str, str], ...]:
    return ("arm", arm), ("release", release)


def _shown(answer: Columns) -> NDArray[Any]:
    """[B], number of items in each answer."""
    ids = answer["item_ids"]
    return np.asarray((ids != ("" if ids.dtype == object else -1)).sum(axis=1))
