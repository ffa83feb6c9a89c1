"""What was counted of an arm in a window: of its users, of their lists and scores, and of the time they took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..statistics.user_sums import UserSums
from .scrape import PREFIX, Series


@dataclass(frozen=True)
class ArmFigures:
    """Sums over the users of an arm. A user who asks twice counts twice."""

    users: float = 0.0
    """Users whom the release of the arm answered; all below but ``unavailable`` is of them."""
    unavailable: float = 0.0
    """Users whom the stable release answered in its place."""
    degraded: Mapping[str, float] = field(default_factory=dict)
    """Reason -> users whose answer is degraded by it."""
    empty: float = 0.0
    """Users without any item."""
    filled: float = 0.0
    """Sum over users of the share of the places they asked for that got an item."""
    top_score: float = 0.0
    """Sum of the best item's score."""
    top_score_squares: float = 0.0
    latency: Mapping[float, float] = field(default_factory=dict)
    """Upper bound of a bucket in seconds -> number of passes that were not slower, ascending."""

    @classmethod
    def of(cls, grown: Mapping[Series, float], arm: str, release: str) -> ArmFigures:
        """The figures of an arm while a release answered it, summed over servers and processes."""
        totals: dict[str, float] = defaultdict(float)
        degraded: dict[str, float] = defaultdict(float)
        latency: dict[float, float] = defaultdict(float)
        for (name, pairs), value in grown.items():
            labels = dict(pairs)
            if (labels.get("arm"), labels.get("release")) != (arm, release):
                continue
            if name == _DEGRADED:
                degraded[labels.get("reason", "")] += value
            elif name == _LATENCY:
                latency[float(labels["le"])] += value
            else:
                totals[name] += value
        sums = {part: totals[name] for part, name in _NAMES.items()}
        return cls(**sums, degraded=dict(sorted(degraded.items())), latency=dict(sorted(latency.items())))

    @property
    def came(self) -> float:
        """Users of the arm, whoever answered them."""
        return self.users + self.unavailable

    @property
    def unfilled(self) -> float:
        """Sum over users of the share of the places they asked for that got no item."""
        return max(self.users - self.filled, 0.0)  # counters are not read at one moment

    @property
    def passes(self) -> float:
        """Number of timed passes."""
        return max(self.latency.values(), default=0.0)

    @property
    def top_scores(self) -> UserSums:
        """The best score of each user who got an item."""
        users = max(self.users - self.empty, 0.0)
        least = self.top_score**2 / users if users else 0.0  # counters are not read at one moment
        return UserSums.of_totals(users, self.top_score, max(self.top_score_squares, least))

    def quantile_s(self, q: float) -> float:
        """The time in seconds that a share ``q`` of the passes did not exceed, as Prometheus' ``histogram_quantile``
        computes it: linear within a bucket, and the last bound for what is above it. NaN without passes."""
        wanted, low, below = q * self.passes, 0.0, 0.0
        for bound, count in self.latency.items():
            if count >= wanted and count > 0:
                inside = (wanted - below) / (count - below) if count > below else 1.0
                return low if bound == float("inf") else low + (bound - low) * inside
            low, below = bound, count
        return float("nan")


_DEGRADED, _LATENCY = f"{PREFIX}degraded_users_total", f"{PREFIX}latency_seconds_bucket"
_NAMES = {
    "users": f"{PREFIX}users_total",
    "unavailable": f"{PREFIX}unavailable_users_total",
    "empty": f"{PREFIX}empty_users_total",
    "filled": f"{PREFIX}filled_places_total",
    "top_score": f"{PREFIX}top_score_total",
    "top_score_squares": f"{PREFIX}top_score_squares_total",
}
