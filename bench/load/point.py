"""A point of a load test: the measurements under one load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..probe import Interval
from .generator import Load, LoadResult, Mode


@dataclass(frozen=True)
class Point:
    """The measurements under one load. Times are None if no request was answered or they could not be measured."""

    layout: str
    mode: Mode
    level: float
    batch: int
    requests_per_s: float
    users_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    cpu_ms_per_request: float | None
    """CPU time of tritonserver and its stubs."""
    generator_cpu_ms_per_request: float | None
    effective_batch: float | None
    """Mean number of users in one pass of a model."""
    errors: int
    error: str
    """Text of the first error."""
    stages_ms: Mapping[str, float]
    """Stage -> milliseconds per request."""

    @classmethod
    def of(cls, layout: str, load: Load, result: LoadResult, interval: Interval) -> Point:
        """Combine the generator's result with the server's counters of the same interval."""
        requests = interval.requests
        return cls(
            layout=layout,
            mode=load.mode,
            level=int(load.level) if load.mode == "concurrency" else round(load.level, 1),
            batch=load.batch,
            requests_per_s=round(result.requests_per_s, 1),
            users_per_s=round(result.requests_per_s * load.batch, 1),
            p50_ms=_rounded(result.p50_ms),
            p95_ms=_rounded(result.p95_ms),
            p99_ms=_rounded(result.p99_ms),
            cpu_ms_per_request=_rounded(interval.cpu_ms_per_request),
            generator_cpu_ms_per_request=_rounded(1000 * result.cpu_s / requests if requests else None),
            effective_batch=_rounded(interval.effective_batch),
            errors=max(result.errors, interval.failed),
            error=result.error,
            stages_ms={stage: round(ms, 4) for stage, ms in interval.stages_ms.items()},
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def best(points: Sequence[Point], mode: Mode = "concurrency") -> Point | None:
    """The point of ``mode`` with the most requests per second and no errors. None if all had errors."""
    fine = [point for point in points if point.mode == mode and not point.errors]
    return max(fine, key=lambda point: point.requests_per_s, default=None)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
