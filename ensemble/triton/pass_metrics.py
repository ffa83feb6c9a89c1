"""Metrics of a served model, on Triton's metrics endpoint. docs/how-to/metrics.md lists them all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from ...workflows.features.circuit_breaker import CircuitBreaker
from ..graph.executor import Executor
from ..graph.ops import LookupUser, Respond
from .arms import counts, shadow
from .held_releases import HeldReleases
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
    "recsys_release_info": "1 for the release that answers in this instance, 0 for others that it holds.",
    "recsys_instance_start_time_seconds": "When this instance was started, seconds since 1970.",
    "recsys_store_breaker_open": "1 while requests are answered without asking the online store, else 0.",
    "recsys_store_errors_total": "Reads and trials that the online store did not answer, or answered with an error.",
    "recsys_degraded_users_total": "Users whose answer has the reason.",
    "recsys_refused_requests_total": "Requests that were answered with an error, by cause.",
    "recsys_requests_total": "Requests in passes, without those that were refused.",
    "recsys_users_total": "Users in passes.",
}


class RefusalReason(StrEnum):
    """Why a request gets an error."""

    INVALID = "invalid"
    """The request is wrong."""
    OVERLOADED = "overloaded"
    """Too many wait."""
    OTHER_RELEASE = "other_release"
    """Its steps would mix two releases, while one is being loaded."""
    INTERNAL = "internal"
    """An error of the model; the log has it."""


class PassMetrics:
    """What a model process has answered, how fast and how well.

    Args:
        beside: the series of arms and shadows.
    """

    def __init__(
        self, triton: Any, model: str, releases: HeldReleases, beside: Callable[[], Mapping[Series, float]] = dict
    ) -> None:
        self._releases, self._beside = releases, beside
        self._latency = StageHistogram([*releases.active.stages, UNPACK, PACK, TOTAL], _LATENCY)
        self._requests = self._users = 0
        self._refused: dict[str, float] = dict.fromkeys(map(str, RefusalReason), 0)
        self._started, self._dropped = time.time(), Counter[Series]()
        self._before: dict[Executor, Counter[Series]] = {}
        self._publisher = Publisher(triton, model, self._values, {**_HELP, **counts.HELP, **shadow.HELP})
        self.start, self.stop = self._publisher.start, self._publisher.stop

    def observe(self, requests: int, users: int, seconds: Mapping[str, float]) -> None:
        """Count one pass: stage -> seconds."""
        self._requests += requests
        self._users += users
        self._latency.observe(seconds)

    def refuse(self, why: RefusalReason) -> None:
        """Count a request that gets an error."""
        self._refused[str(why)] += 1

    def count_from_now(self, executor: Executor) -> None:
        """Leave out what a release has counted so far, which is its warm-up."""
        self._before[executor] = _counts(executor)

    def forget(self, executor: Executor) -> None:
        """Keep the counts of a release that is dropped."""
        self._dropped.update(self._counted(executor))
        self._before.pop(executor, None)

    def _counted(self, executor: Executor) -> Counter[Series]:
        own = _counts(executor)
        own.subtract(self._before.get(executor, {}))
        return own

    def _values(self) -> dict[Series, float]:
        # Sent in this order. Requests come last, so whoever sees a request counted also sees its users and times.
        active, held = self._releases.active, list(self._releases.held.items())
        found = Counter(self._dropped)
        for _, executor in held:
            found.update(self._counted(executor))
        return {
            **self._latency.values(),
            **_labelled("recsys_release_info", "release", {name: float(of is active) for name, of in held if name}),
            ("recsys_instance_start_time_seconds", ()): self._started,
            **_breaker(active),
            **found,
            **self._beside(),
            **_labelled("recsys_refused_requests_total", "why", self._refused),
            ("recsys_users_total", ()): self._users,
            ("recsys_requests_total", ()): self._requests,
        }


def _counts(executor: Executor) -> Counter[Series]:
    """What the steps of a release have counted."""
    values: Counter[Series] = Counter()
    for op in (node.op for node in executor.nodes):
        if isinstance(op, LookupUser) and isinstance(op.reader, CircuitBreaker):
            values["recsys_store_errors_total", ()] = op.reader.errors
        elif isinstance(op, Respond):
            values.update(_labelled("recsys_degraded_users_total", "reason", op.degraded_users))
    return values


def _breaker(executor: Executor) -> dict[Series, float]:
    ops = [node.op for node in executor.nodes if isinstance(node.op, LookupUser)]
    open_now = [op.reader.is_open for op in ops if isinstance(op.reader, CircuitBreaker)]
    return {("recsys_store_breaker_open", ()): float(any(open_now))} if open_now else {}


def _labelled(name: str, label: str, values: Mapping[str, float]) -> dict[Series, float]:
    return {(name, ((label, value),)): count for value, count in values.items()}
