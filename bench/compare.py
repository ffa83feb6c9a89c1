"""The protocol of a comparison: somebody else serves the same models, and gets the same load in the same run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..core.errors import ConfigError
from .probe import Target
from .report.results import Point, best
from .serving import Subject

if TYPE_CHECKING:
    from ..config.pipeline import PipelineConfig

RIVALS = {"merlin": ".stock"}
"""Name on the command line -> module, which has ``measure``, a `Measure`, and ``check_config``."""
CONCURRENCY = (1, 4, 16)
SECONDS = 30.0
"""At least so long for each point: a window must hold many requests of a rival that takes a second for one."""

Send = Callable[[Target, Path], Sequence[Point]]
"""Sends requests (perf_analyzer's input data) to a target at several concurrencies, one user a request."""


class Measure(Protocol):
    """Serves the rival from the same artifacts and has ``send`` measure it."""

    def __call__(self, subject: Subject, folder: Path, send: Send) -> tuple[Sequence[Point], Mapping[str, Any]]:
        """The points, and what else the report says of the rival, e.g. how its scores agree with ours.

        Args:
            folder: takes what has to be built; empty.
        """
        ...


def rival(name: str, config: PipelineConfig) -> Measure:
    """The function that measures it.

    Raises:
        ConfigError: if there is none of that name, or it cannot serve what ``config`` trains.
    """
    if name not in RIVALS:
        raise ConfigError(f"--compare {name}: expected one of {', '.join(RIVALS)}")
    module = importlib.import_module(RIVALS[name], __package__)
    module.check_config(config)
    measure: Measure = module.measure
    return measure


def comparison(ours: Sequence[Point], theirs: Sequence[Point], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Best rate of the rival with one user a request, and how many times that ours is.

    Raises:
        ConfigError: if one of the two has no point without errors.
    """
    alone = best([point for point in ours if point.batch == 1])
    other = best(theirs)
    if alone is None or other is None:
        who, tried = ("the served model", ours) if alone is None else ("the rival", theirs)
        errors = next((point.error for point in tried if point.error), "no closed loop of one user a request")
        raise ConfigError(f"--compare: {who} has no such load without errors: {errors}")
    return {
        "requests_per_s": other.requests_per_s,
        "ratio": round(alone.requests_per_s / other.requests_per_s, 1),
        "cpu_ms_per_request": other.cpu_ms_per_request,
        "cpu_ratio": round(other.cpu_ms_per_request / alone.cpu_ms_per_request, 1)
        if other.cpu_ms_per_request and alone.cpu_ms_per_request
        else None,
        "ours_requests_per_s": alone.requests_per_s,
        "ours_layout": alone.layout,
        "points": [point.to_json() for point in theirs],
        **facts,
    }
