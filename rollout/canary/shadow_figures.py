"""How the answers of a shadow differ from those that users got, summed over servers and processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .scrape import SHADOW_PREFIX, Series

OUTCOMES = ("answered", "failed", "dropped")


@dataclass(frozen=True)
class Differences:
    """Means over some of the users whom both have answered."""

    users: float
    overlap: float
    """Share of the items of an answer that the shadow shows as well."""
    rank_biased_overlap: float
    """From 0 to 1; the first places count most, see `ensemble.triton.arms.shadow.rank_biased_overlap`."""
    top_score_change: float
    """The shadow's best score minus that of the answer."""
    other_reasons: float
    """Share of the users for whom the shadow gives other reasons."""


@dataclass(frozen=True)
class ShadowFigures:
    """What was counted of a shadow since the servers were started."""

    requests: Mapping[str, float] = field(default_factory=dict)
    """Outcome -> requests."""
    users: Mapping[str, Differences] = field(default_factory=dict)
    """``all``, ``known`` and ``unknown`` users -> how their answers differ; only those with users."""
    stages: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Stage -> milliseconds per pass of the answer and of the shadow."""

    @classmethod
    def of(cls, counters: Mapping[Series, float], release: str) -> ShadowFigures:
        """The figures of a shadow's release.

        Args:
            counters: of all servers.
        """
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        for (name, pairs), value in counters.items():
            labels = dict(pairs)
            if name.startswith(SHADOW_PREFIX) and labels.get("release") == release:
                own = (labels.get(label, "") for label in ("outcome", "users", "by", "stage"))
                sums[(name.removeprefix(SHADOW_PREFIX), *own)] += value
        requests = {outcome: sums["requests_total", outcome, "", "", ""] for outcome in OUTCOMES}
        means = {
            who: found
            for who, of in {"all": ("known", "unknown"), "known": ("known",), "unknown": ("unknown",)}.items()
            if (found := _differences(sums, of)) is not None
        }
        stages = list(dict.fromkeys(key[4] for key in list(sums) if key[4]))
        timed = sums["timed_requests_total", "", "", "", ""] or float("nan")

        def milliseconds(by: str, stage: str) -> float:
            return 1000 * sums["stage_seconds_total", "", "", by, stage] / timed

        times = {stage: (milliseconds("stable", stage), milliseconds("shadow", stage)) for stage in sorted(stages)}
        return cls(requests, means, times)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _differences(sums: Mapping[tuple[str, ...], float], of: tuple[str, ...]) -> Differences | None:
    def total(name: str) -> float:
        return sum(sums.get((name, "", which, "", ""), 0.0) for which in of)

    users = total("users_total")
    if not users:
        return None
    names = ("overlap_total", "rank_biased_overlap_total", "top_score_change_sum", "other_reasons_total")
    return Differences(users, *(total(name) / users for name in names))
