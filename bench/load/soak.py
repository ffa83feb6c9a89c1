"""A soak test: a constant rate for minutes, with memory recorded every second."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from ..memory import MemoryLog
from .generator import Load
from .point import Point
from .sweep import LoadTest

PART_S = 60.0
"""Seconds after which the generator is restarted: it records every answer, and perf_analyzer ends at the first request
that fails."""


def parts_of(seconds: float) -> int:
    """The number of parts of a soak, each measured as one point."""
    return math.ceil(seconds / PART_S)


def soak(
    test: LoadTest, rate: float, batch: int, seconds: float, on_point: Callable[[Point], None] = lambda point: None
) -> dict[str, Any]:
    """Run the soak: errors, mean rate and the worst percentiles of its parts, and the growth of memory.

    Args:
        rate: requests per second, Poisson.
        on_point: called with each part as soon as it is measured.

    Returns:
        The section ``soak`` of the report. ``memory_ratio`` is `memory.growth` of each process, and ``memory_mb`` holds
        the values of every second.
    """
    parts: list[Point] = []
    start = time.monotonic()
    with MemoryLog(test.target.pid) as log:
        while (left := seconds - (time.monotonic() - start)) > 1:
            parts.append(test.measure(Load("rate", rate, batch, min(PART_S, left))))
            on_point(parts[-1])
    took = time.monotonic() - start
    return {
        "layout": test.target.layout,
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
