"""`cascade bench`: serves each layout, measures it under load, and compares it with the stock stack if asked to."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from .compare import CONCURRENCY, SECONDS, comparison, rival
from .floors import floors
from .load.generator import Generator
from .load.own_generator import OwnGenerator
from .load.perf_analyzer import PerfAnalyzer
from .load.perf_tool import NoPerfAnalyzerError, perf_tool
from .load.point import Point, best
from .load.soak import parts_of, soak
from .load.sweep import LoadSchedule, LoadTest, sweep
from .load.workload import Workload
from .memory import memory_of, summary
from .probe import Probe
from .report.results import Report, machine
from .targets import ExportedPipeline, Layout, Target, export_parents, running_server, serve

OnPoint = Callable[[Point], None]
"""Called with each point as soon as it is measured."""


@dataclass(frozen=True)
class BenchOptions:
    """What to measure; see `cascade bench --help`."""

    layouts: Sequence[Layout]
    schedule: LoadSchedule = field(default_factory=LoadSchedule)
    workload: Workload = field(default_factory=Workload)
    url: str | None = None
    """A server that is already running, to be measured instead of ``layouts``."""
    metrics_url: str | None = None
    soak_s: float = 0.0
    """Seconds of the soak; 0 for none."""
    soak_load: float = 0.8
    """Rate of the soak, as a share of the best rate."""
    compare: str | None = None
    """Name of the rival, see `compare.RIVALS`."""

    @property
    def points(self) -> int:
        """How many points are measured, including the parts of the soak and the points of the rival."""
        layouts = 1 if self.url else len(self.layouts)
        return layouts * self.schedule.points + parts_of(self.soak_s) + (len(CONCURRENCY) if self.compare else 0)


def run(
    pipeline: ExportedPipeline,
    options: BenchOptions,
    on_point: OnPoint = lambda point: None,
    forward: Callable[[str], None] = lambda line: None,
) -> Report:
    """Measure everything that ``options`` ask for.

    Args:
        forward: called with each line of the servers' logs.

    Raises:
        ConfigError: if the options contradict each other, or the rival cannot serve this pipeline.
        ServerError: if a server does not answer.
    """
    schedule = options.schedule
    if options.compare and not (1 in schedule.batches and schedule.concurrency):
        raise ConfigError("--compare: expected --batch 1 and a --concurrency; the rival answers one user a request")
    measure = None if options.compare is None else rival(options.compare, pipeline.config)
    generator, notes = choose_generator()
    report = Report(generator.name, notes=notes, workload=asdict(options.workload), machine=machine())
    with tempfile.TemporaryDirectory(prefix="cascade-load-") as folder:
        requests = Path(folder) / "requests.json"
        options.workload.write(pipeline.user_ids, requests)
        for server in _targets(pipeline, options, forward):
            with server as target, Probe(target) as probe:
                _measure(report, pipeline, LoadTest(target, probe, generator, requests), options, on_point)
        if measure is not None:
            scratch = Path(folder) / "rival"
            scratch.mkdir()
            points, facts = measure(pipeline, scratch, _sender(generator, options, on_point))
            report.compare = comparison(report.points, points, facts)
    return report


def choose_generator() -> tuple[Generator, list[str]]:
    """perf_analyzer if it is available, else our own generator and a note that says why."""
    try:
        return PerfAnalyzer(perf_tool()), []
    except NoPerfAnalyzerError as error:
        return OwnGenerator(), [f"perf_analyzer is not available, so cascade's own generator was used: {error}"]


def _targets(
    pipeline: ExportedPipeline, options: BenchOptions, forward: Callable[[str], None]
) -> Sequence[AbstractContextManager[Target]]:
    if options.url is not None:
        return [nullcontext(running_server(options.url, pipeline.config.export.model_name, options.metrics_url))]
    if any(layout != pipeline.config.serving.layout for layout in options.layouts):
        export_parents(pipeline)  # fail before the first layout is measured if an artifact is missing
    return [serve(pipeline, layout, forward) for layout in options.layouts]


def _measure(
    report: Report, pipeline: ExportedPipeline, test: LoadTest, options: BenchOptions, on_point: OnPoint
) -> None:
    """Measure one layout: the sweep, memory after it, and the soak, which only the first layout gets."""
    target = test.target
    points = sweep(test, options.schedule, on_point)
    report.points += points
    if target.startup_s is not None:
        report.startup_s[target.layout] = round(target.startup_s, 2)
    if target.pid is None:
        report.notes.append(
            f"{target.url} is on another machine or belongs to another user: CPU time and memory are not measured"
        )
    else:
        report.memory_mb[target.layout] = summary(memory_of(target.pid))
    fastest = best([point for point in points if point.batch == options.schedule.batches[0]])
    report.stages_ms = report.stages_ms or (fastest.stages_ms if fastest else {})
    if target.layout == "fused" and target.repository is not None:
        report.floors = _floors(pipeline, target.repository, best([p for p in points if p.batch == 1]))
    if options.soak_s and not report.soak:
        if fastest is None:
            raise ConfigError("--soak: expected a best rate of a concurrency sweep; give --concurrency")
        rate = options.soak_load * fastest.requests_per_s
        report.soak = soak(test, rate, fastest.batch, options.soak_s, on_point)


def _floors(pipeline: ExportedPipeline, repository: Path, one_user: Point | None) -> dict[str, Any]:
    """The floors of the stages as the report holds them.

    Args:
        one_user: the best point with one user a request.
    """
    export = pipeline.config.export
    version = repository / export.model_name / str(export.version)
    stages = floors(version, Path(pipeline.config.feature_store.repo), pipeline.user_ids)
    if not stages:
        return {}
    total = sum(stages.values())
    served_ms = one_user.cpu_ms_per_request if one_user else None
    return {
        "stages_ms": {name: round(ms, 4) for name, ms in stages.items()},
        "sum_ms": round(total, 4),
        "cpu_ratio": round(served_ms / total, 2) if served_ms else None,
    }


def _sender(generator: Generator, options: BenchOptions, on_point: OnPoint) -> Callable[[Target, Path], list[Point]]:
    """Measures a rival with the same generator and warm-up."""

    def send(target: Target, requests: Path) -> list[Point]:
        named = replace(target, layout=options.compare or "")
        seconds = max(options.schedule.seconds, SECONDS)
        with Probe(named) as probe:
            schedule = LoadSchedule((1,), CONCURRENCY, (), seconds, options.schedule.warmup_s)
            return sweep(LoadTest(named, probe, generator, requests), schedule, on_point)

    return send
