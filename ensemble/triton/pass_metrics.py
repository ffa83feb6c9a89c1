"""Metrics of the passes of a served model, on Triton's metrics endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .latency_histogram import Series, StageHistogram
from .metrics_publisher import Publisher

UNPACK, PACK, TOTAL = "unpack", "pack", "total"
"""Stages beside those of the graph: read, check and join the requests; write the responses; the whole pass."""

_LATENCY = "recsys_latency_seconds"
_SECONDS = "seconds per pass and stage; a pass answers all requests that were joined"
_HELP = {
    f"{_LATENCY}_bucket": f"Passes that took at most le {_SECONDS}.",
    f"{_LATENCY}_sum": f"Sum of the {_SECONDS}.",
    f"{_LATENCY}_count": "Passes, by stage.",
    "recsys_requests_total": "Requests in passes, without those that were refused.",
    "recsys_users_total": "Users in passes.",
}


class PassMetrics:
    """Histogram ``recsys_latency_seconds`` by stage, and the counts of requests and users."""

    def __init__(self, triton: Any, model: str, stages: Sequence[str]) -> None:
        self._latency = StageHistogram([*stages, UNPACK, PACK, TOTAL], _LATENCY)
        self._requests = self._users = 0
        self._publisher = Publisher(triton, model, self._values, _HELP)
        self.start, self.stop = self._publisher.start, self._publisher.stop

    def observe(self, requests: int, users: int, seconds: Mapping[str, float]) -> None:
        """Count one pass: stage -> seconds."""
        self._requests += requests
        self._users += users
        self._latency.observe(seconds)

    def _values(self) -> dict[Series, float]:
        # Sent in this order. Requests come last, so whoever sees a request counted also sees its users and times.
        totals = {"recsys_users_total": self._users, "recsys_requests_total": self._requests}
        return {**self._latency.values(), **{(name, ()): value for name, value in totals.items()}}
