"""The results of `cascade bench`; the fields are the keys of its JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..load.generator import Load, LoadResult, Mode
from ..probe import Interval


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


@dataclass
class Report:
    """All results of one run of `cascade bench`."""

    generator: str
    notes: list[str] = field(default_factory=list)
    """What could not be measured as requested, and why."""
    points: list[Point] = field(default_factory=list)
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    """Time by stage of the best point of the first layout and batch size."""
    floors: Mapping[str, Any] = field(default_factory=dict)
    """``stages_ms``: CPU milliseconds that each stage's libraries need for one user; ``sum_ms``; and ``cpu_ratio``, the
    CPU time of a served request at the best rate with one user a request, as a multiple of the sum."""
    memory_mb: dict[str, Any] = field(default_factory=dict)
    """Layout -> memory after the load, see `memory.summary`."""
    startup_s: dict[str, float] = field(default_factory=dict)
    """Layout -> seconds from the start of the server to its first answer."""
    soak: Mapping[str, Any] = field(default_factory=dict)
    compare: Mapping[str, Any] = field(default_factory=dict)
    workload: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def save(self, file: Path) -> None:
        """Write ``file`` atomically."""
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name(f".{file.name}.{os.getpid()}")
        aside.write_text(json.dumps(self.to_json(), indent=1) + "\n")
        aside.replace(file)


def best(points: Sequence[Point], mode: Mode = "concurrency") -> Point | None:
    """The point of ``mode`` with the most requests per second and no errors. None if all had errors."""
    fine = [point for point in points if point.mode == mode and not point.errors]
    return max(fine, key=lambda point: point.requests_per_s, default=None)


def machine() -> dict[str, Any]:
    """The machine that the figures were measured on."""
    import psutil

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
