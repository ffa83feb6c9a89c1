"""Who is asked beside the active release, as the server says it from time to time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray

from ....core.errors import RequestError
from ...protocol.assignment import STABLE
from ...protocol.inputs import ARM_INPUT
from ...protocol.request_batching import RequestBatcher
from ...protocol.serving_file import ArmAddress, Beside
from ..latency_histogram import Series
from .counts import ArmCounters
from .joined_call import JoinedCalls
from .link import Link
from .router import Answer, ArmRouter, CheckedRequest
from .shadow import Shadows

_CALLS = 8
"""Calls to arms at the same time."""


class AskedBeside:
    """The arms and the shadows of a model process. Without any, requests pass through untouched.

    Args:
        model: name of the model, also in the arms' servers.
        batcher: joins requests.
        cut: names of the outputs that are as wide as the largest top_k of their request.
        stages: names of the columns of ``stages_ms``.
    """

    def __init__(self, model: str, batcher: RequestBatcher, cut: frozenset[str], stages: Sequence[str]) -> None:
        self._model, self._calls, self._stages = model, JoinedCalls(batcher, cut), stages
        self._beside, self._links = Beside(), dict[tuple[str, float], Link]()
        self._router: ArmRouter | None = None
        self._shadows: Shadows | None = None
        self._counts = ArmCounters()
        self._shadow_counts: dict[Series, float] = {}
        self._pool: ThreadPoolExecutor | None = None

    def follow(self, beside: Beside) -> None:
        """Ask these from now on; called by one thread, while others `answer`."""
        if beside == self._beside:
            return
        self._pool = self._pool or ThreadPoolExecutor(_CALLS, "cascade-arm")
        to_arms, to_shadows = (
            {arm.name: self._link(arm, beside.timeout_s) for arm in asked} for asked in (beside.arms, beside.shadows)
        )
        if beside.arms:
            arms = ArmRouter(beside, to_arms, self._pool, self._counts, self._calls)
            self._router = arms
        else:
            self._router = None
        if beside.shadows != self._beside.shadows:
            before = self._shadows
            self._shadows = Shadows(beside.shadows, to_shadows, self._calls, self._stages) if beside.shadows else None
            if before is not None:
                before.stop()
                self._keep(before.values())
        self._beside = beside
        used = {(arm.url, beside.timeout_s) for arm in (*beside.arms, *beside.shadows)}
        for gone in self._links.keys() - used:
            self._links.pop(gone).close()

    def check(self, arm: NDArray[Any], users: int) -> None:
        """Check the arms that a request asks for.

        Raises:
            RequestError: if the input has another shape or type, or there is no such arm.
        """
        ARM_INPUT.check(arm)
        if len(arm) != users:
            raise RequestError(f"{ARM_INPUT.name}: expected {users} rows, one for each user, got {len(arm)}")
        known = (STABLE,) if self._router is None else self._router.names
        for name in arm[:, 0].tolist():
            if name and name not in known:
                raise RequestError(f"{ARM_INPUT.name}: expected one of {', '.join(known)}, or nothing, got {name!r}")

    def answer(
        self, requests: Sequence[CheckedRequest], own: Callable[[Sequence[CheckedRequest]], list[Answer]]
    ) -> list[Answer]:
        """The answer of each request.

        Args:
            own: answers requests with the active release.
        """
        router, shadows = self._router, self._shadows
        answers = own(requests) if router is None else router.answer(requests, own)
        if shadows is not None:
            for entry, answer in zip(requests, answers, strict=True):
                if not isinstance(answer, Exception) and not entry.probe:
                    shadows.offer(entry.asked, answer)
        return answers

    def values(self) -> Mapping[Series, float]:
        """All series of metrics."""
        shadows = self._shadows.values() if self._shadows is not None else {}
        both = {series: shadows.get(series, 0) + self._shadow_counts.get(series, 0) for series in shadows}
        return {**self._counts.values(), **self._shadow_counts, **both}

    def stop(self) -> None:
        """End the threads and close the connections."""
        if self._shadows is not None:
            self._shadows.stop()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        for link in self._links.values():
            link.close()

    def _link(self, arm: ArmAddress, timeout_s: float) -> Link | None:
        if arm.url is None:
            return None
        key = arm.url, timeout_s
        if key not in self._links:
            self._links[key] = Link(arm.url, self._model, timeout_s)
        return self._links[key]

    def _keep(self, values: Mapping[Series, float]) -> None:
        for series, value in values.items():
            self._shadow_counts[series] = self._shadow_counts.get(series, 0) + value
