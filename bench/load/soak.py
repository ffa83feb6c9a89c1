"""A soak: one rate for minutes, memory noted every second."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from ..memory import MemoryLog
from ..report.results import Point
from .generator import Load
from .sweep import Bench

PART_S = 60.0
"""The generator is started anew so often: it keeps every answer's record, and one failed request ends perf_analyzer."""


def parts_of(seconds: float) -> int:
    """How many parts a soak has at most."""
    return math.ceil(seconds / PART_S)


def soak(
    bench: Bench, rate: float, batch: int, seconds: float, report: Callable[[Point], None] = lambda point: None
) -> dict[str, Any]:
    """Errors, rate and the worst percentiles of its parts, and how memory grew.

    Args:
        rate: requests per second, Poisson.
        report: takes each part as it is measured.

    Returns:
        ``memory_ratio`` is `memory.growth` by process, ``memory_mb`` what was noted every second.
    """
    parts: list[Point] = []
    start = time.monotonic()
    with MemoryLog(bench.served.target.pid) as log:
        while (left := seconds - (time.monotonic() - start)) > 1:
            parts.append(bench.measure(Load("rate", rate, batch, min(PART_S, left))))
            report(parts[-1])
    took = time.monotonic() - start
    return {
        "layout": bench.served.layout,
        "batch": batch,
        "rate": round(rate, 1),
        "seconds": round(took, 1),
        "errors": sum(part.errors for part in parts),
        "error": next((part.error for part in parts if part.error), ""),
        "requests_per_s": round(sum(part.requests_per_s for part in parts) / len(parts), 1),
        "p95_ms": max((part.p95_ms for part in parts if part.p95_ms is not None), default=None),
        "p99_ms": max((part.p99_ms for part in parts if part.p99_ms is not None), default=None),
        "memory_ratio": {name: round(value, 4) for name, value in log.ratios(took).items()},
        "memory_mb": {
            "seconds": [round(at, 1) for at in log.times_s],
            "own": {name: [None if mb != mb else round(mb, 1) for mb in values] for name, values in log.mb.items()},
        },
    }
