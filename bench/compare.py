"""Comparison with a rival: another stack serves the same models and gets the same load in the same run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..core.errors import ConfigError
from .load.point import Point, best
from .targets import ExportedPipeline, Target

if TYPE_CHECKING:
    from ..config.pipeline import PipelineConfig

RIVALS = {"merlin": ".stock"}
"""Name on the command line -> module with ``measure``, a `Measure`, and ``check_config``."""
CONCURRENCY = (1, 4, 16)
SECONDS = 30.0
"""Shortest time for each point: the rival may take a second for a request, and a window must hold many."""

Send = Callable[[Target, Path], Sequence[Point]]
"""Sends requests (perf_analyzer's input data) to a target at several concurrencies, one user in each request."""


class Measure(Protocol):
    """Serves the rival from the same artifacts and measures it with ``send``."""

    def __call__(
        self, pipeline: ExportedPipeline, folder: Path, send: Send
    ) -> tuple[Sequence[Point], Mapping[str, Any]]:
        """The measured points, and further facts for the report, e.g. how well the rival's scores agree with ours.

        Args:
            folder: an empty folder for whatever has to be built.
        """
        ...


def rival(name: str, config: PipelineConfig) -> Measure:
    """The function that measures the rival called ``name``.

    Raises:
        ConfigError: if there is no such rival, or it cannot serve the models of ``config``.
    """
    if name not in RIVALS:
        raise ConfigError(f"--compare {name}: expected one of {', '.join(RIVALS)}")
    module = importlib.import_module(RIVALS[name], __package__)
    module.check_config(config)
    measure: Measure = module.measure
    return measure


def comparison(ours: Sequence[Point], theirs: Sequence[Point], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The best rate of the rival with one user a request, and the ratio of ours to it.

    Raises:
        ConfigError: if one of the two has no point without errors.
    """
    own = best([point for point in ours if point.batch == 1])
    other = best(theirs)
    if own is None or other is None:
        who, tried = ("the served model", ours) if own is None else ("the rival", theirs)
        errors = next((point.error for point in tried if point.error), "no closed loop of one user a request")
        raise ConfigError(f"--compare: {who} has no such load without errors: {errors}")
    return {
        "requests_per_s": other.requests_per_s,
        "ratio": round(own.requests_per_s / other.requests_per_s, 1),
        "cpu_ms_per_request": other.cpu_ms_per_request,
        "cpu_ratio": round(other.cpu_ms_per_request / own.cpu_ms_per_request, 1)
        if other.cpu_ms_per_request and own.cpu_ms_per_request
        else None,
        "ours_requests_per_s": own.requests_per_s,
        "ours_layout": own.layout,
        "points": [point.to_json() for point in theirs],
        **facts,
    }
