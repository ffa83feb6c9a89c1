"""A sweep: more and more requests in flight, then Poisson arrivals at shares of the best rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import ServerError
from ..probe import Probe
from ..report.results import Point, best
from ..serving import Served
from .generator import Generator, Load

CONCURRENCY = (1, 2, 4, 8, 16, 32)
RATE_SHARES = (0.3, 0.5, 0.7, 0.8, 0.9)
WARMUP_CONCURRENCY = 4


@dataclass(frozen=True)
class Plan:
    """Which loads to try."""

    batches: Sequence[int] = (1, 8)
    """Users in a request."""
    concurrency: Sequence[int] = CONCURRENCY
    rates: Sequence[float] | None = None
    """Requests per second; shares of the best rate of the concurrency sweep by default."""
    seconds: float = 6.0
    """Each point."""
    warmup_s: float = 3.0
    """Before the first point of each batch size; not reported."""

    @property
    def points(self) -> int:
        """How many a layout has."""
        rates = RATE_SHARES if self.rates is None else self.rates
        return len(self.batches) * (len(self.concurrency) + len(rates))


@dataclass(frozen=True)
class Bench:
    """A served model with a generator that sends it requests."""

    served: Served
    probe: Probe
    generator: Generator
    requests: Path

    def measure(self, load: Load) -> Point:
        """Send a load; the counts of the server are read right before and right after."""
        target = self.served.target
        before = self.probe.snapshot()
        driven = self.generator.drive(target.url, target.model, self.requests, load)
        return Point.of(self.served.layout, load, driven, self.probe.since(before))


def sweep(bench: Bench, plan: Plan, report: Callable[[Point], None]) -> list[Point]:
    """Every point of ``plan``; ``report`` takes each as it is measured.

    Raises:
        ServerError: if rates have to follow from a concurrency sweep in which every load had errors.
    """
    points: list[Point] = []
    for batch in plan.batches:
        if plan.warmup_s:
            bench.measure(Load("concurrency", WARMUP_CONCURRENCY, batch, plan.warmup_s))
        tried = []
        for in_flight in plan.concurrency:
            tried.append(bench.measure(Load("concurrency", in_flight, batch, plan.seconds)))
            report(tried[-1])
        points += tried
        for rate in rates_of(plan, tried):
            points.append(bench.measure(Load("rate", rate, batch, plan.seconds)))
            report(points[-1])
    return points


def rates_of(plan: Plan, tried: Sequence[Point]) -> list[float]:
    """Requests per second of the open loop: those asked for, else shares of the best rate among ``tried``."""
    if plan.rates is not None or not tried:
        return list(plan.rates or ())
    fastest = best(tried)
    if fastest is None:
        raise ServerError(f"every load had errors: {tried[0].error}")
    return [share * fastest.requests_per_s for share in RATE_SHARES]
