"""A sweep over loads: increasing numbers of requests in flight, then Poisson arrivals at shares of the best rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import ServerError
from ..probe import Probe
from ..targets import Target
from .generator import Generator, Load
from .point import Point, best

CONCURRENCY = (1, 2, 4, 8, 16, 32)
RATE_SHARES = (0.3, 0.5, 0.7, 0.8, 0.9)
WARMUP_CONCURRENCY = 4


@dataclass(frozen=True)
class LoadSchedule:
    """The loads of a sweep."""

    batches: Sequence[int] = (1, 8)
    """Users in a request."""
    concurrency: Sequence[int] = CONCURRENCY
    rates: Sequence[float] | None = None
    """Requests per second. By default, `RATE_SHARES` of the best rate of the concurrency sweep."""
    seconds: float = 6.0
    """Duration of each point."""
    warmup_s: float = 3.0
    """Seconds of load before the first point of each batch size, which are not reported."""

    @property
    def points(self) -> int:
        """The number of points of one layout."""
        rates = RATE_SHARES if self.rates is None else self.rates
        return len(self.batches) * (len(self.concurrency) + len(rates))


@dataclass(frozen=True)
class LoadTest:
    """A served model and the generator that sends it requests."""

    target: Target
    probe: Probe
    generator: Generator
    requests: Path

    def measure(self, load: Load) -> Point:
        """Send a load, and read the server's counters right before and right after it."""
        before = self.probe.snapshot()
        result = self.generator.drive(self.target.url, self.target.model, self.requests, load)
        return Point.of(self.target.layout, load, result, self.probe.since(before))


def sweep(test: LoadTest, schedule: LoadSchedule, on_point: Callable[[Point], None]) -> list[Point]:
    """Measure every point of the schedule.

    Args:
        on_point: called with each point as soon as it is measured.

    Raises:
        ServerError: if rates have to be derived from a concurrency sweep in which every load had errors.
    """
    points: list[Point] = []
    for batch in schedule.batches:
        if schedule.warmup_s:
            test.measure(Load("concurrency", WARMUP_CONCURRENCY, batch, schedule.warmup_s))
        closed_loop = []
        for in_flight in schedule.concurrency:
            closed_loop.append(test.measure(Load("concurrency", in_flight, batch, schedule.seconds)))
            on_point(closed_loop[-1])
        points += closed_loop
        for rate in rates_of(schedule, closed_loop):
            points.append(test.measure(Load("rate", rate, batch, schedule.seconds)))
            on_point(points[-1])
    return points


def rates_of(schedule: LoadSchedule, closed_loop: Sequence[Point]) -> list[float]:
    """Requests per second of the open loop: the given rates, else shares of the best rate of the closed loop."""
    if schedule.rates is not None or not closed_loop:
        return list(schedule.rates or ())
    fastest = best(closed_loop)
    if fastest is None:
        raise ServerError(f"every load had errors: {closed_loop[0].error}")
    return [share * fastest.requests_per_s for share in RATE_SHARES]
