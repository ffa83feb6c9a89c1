"""What a load is, what is measured under it, and who makes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Mode = Literal["concurrency", "rate"]


@dataclass(frozen=True)
class Load:
    """One setting of the load generator."""

    mode: Mode
    """concurrency: so many requests are in flight at any time. rate: requests arrive as a Poisson process."""
    level: float
    """Requests in flight, or requests per second."""
    batch: int
    """Users in a request."""
    seconds: float


@dataclass(frozen=True)
class Driven:
    """What the generator saw: milliseconds from sending a request to having its answer; None if none came."""

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
    """Drives a served model."""

    @property
    def name(self) -> str:
        """As the report marks what it made."""
        ...

    def drive(self, url: str, model: str, requests: Path, load: Load) -> Driven:
        """Send ``requests`` (perf_analyzer's input-data JSON, one user an entry) over and over.

        Args:
            url: ``host:port`` of the gRPC endpoint.
        """
        ...
