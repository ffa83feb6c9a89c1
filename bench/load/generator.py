"""The interface of a load generator: the load that it makes and the result that it returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Mode = Literal["concurrency", "rate"]


@dataclass(frozen=True)
class Load:
    """One setting of the load generator."""

    mode: Mode
    """``concurrency`` keeps a constant number of requests in flight (closed loop). ``rate`` sends requests as a Poisson
    process (open loop)."""
    level: float
    """Requests in flight, or requests per second."""
    batch: int
    """Users in a request."""
    seconds: float


@dataclass(frozen=True)
class LoadResult:
    """What the generator measured.

    Latencies are milliseconds from sending a request to receiving its answer. They are None if no answer came.
    """

    requests_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    cpu_s: float
    """CPU seconds of the generator itself."""
    errors: int = 0
    error: str = ""
    """The first error's text."""


class Generator(Protocol):
    """Sends load to a served model."""

    @property
    def name(self) -> str:
        """The generator's name in the report."""
        ...

    def drive(self, url: str, model: str, requests: Path, load: Load) -> LoadResult:
        """Send ``requests`` (perf_analyzer's input-data JSON, one user in each entry), starting over at their end.

        Args:
            url: ``host:port`` of the gRPC endpoint.
        """
        ...
