"""`cascade bench`: serve each layout, sweep it, soak and compare if asked to."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from .compare import (
    CONCURRENCY,
    SECONDS,
    comparison,
    rival,
)
from .floors import floors
from .load.generator import Generator
from .load.own_generator import OwnGenerator
from .load.perf_analyzer import PerfAnalyzer
from .load.perf_tool import NoPerfAnalyzerError, perf_tool
from .load.soak import parts_of, soak
from .load.sweep import Bench, Plan, sweep
from .load.workload import Workload
from .memory import memory_of, summary
from .probe import Probe, Target
from .report.results import (
    Point,
    Report,
    best,
    machine,
)
from .serving import (
    Layout,
    Served,
    Subject,
    parts,
    running,
    served,
)


@dataclass(frozen=True)
class Wanted:
    """What was asked for."""

    layouts: Sequence[Layout]
    plan: Plan = field(default_factory=Plan)
    workload: Workload = field(default_factory=Workload)
    url: str | None = None
    """A server that runs already, instead of ``layouts``."""
    metrics_url: str | None = None
    soak_s: float = 0.0
    soak_load: float = 0.8
    """Share of the best rate."""
    compare: str | None = None

    @property
    def points(self) -> int:
        """How many are measured, parts of the soak and points of the rival included."""
        layouts = 1 if self.url else len(self.layouts)
        return layouts * self.plan.points + parts_of(self.soak_s) + (len(CONCURRENCY) if self.compare else 0)


def run(
    subject: Subject,
    wanted: Wanted,
    report: Callable[[Point], None] = lambda point: None,
    forward: Callable[[str], None] = lambda line: None,
) -> Report:
    """Everything that ``wanted`` names.

    Args:
        report: takes each point as it is measured.
        forward: takes each line of the servers' logs.
    """
    if wanted.compare and not (1 in wanted.plan.batches and wanted.plan.concurrency):
        raise ConfigError("--compare: expected --batch 1 and a --concurrency; the rival answers one user a request")
    measure = None if wanted.compare is None else rival(wanted.compare, subject.config)
    generator, note = choose_generator()
    found = Report(generator.name, notes=note, workload=asdict(wanted.workload), machine=machine())
    with tempfile.TemporaryDirectory(prefix="cascade-load-") as folder:
        requests = Path(folder) / "requests.json"
        wanted.workload.write(subject.user_ids, requests)
        for opened in _targets(subject, wanted, forward):
            with opened as target:
                _bench(found, subject, target, generator, requests, wanted, report)
        if measure is not None:
            aside = Path(folder) / "rival"
            aside.mkdir()
            theirs, facts = measure(subject, aside, _sender(generator, wanted, report))
            found.compare = comparison(found.points, theirs, facts)
    return found


def choose_generator() -> tuple[Generator, list[str]]:
    """perf_analyzer where it can be had; else our own, and why."""
    try:
        return PerfAnalyzer(perf_tool()), []
    except NoPerfAnalyzerError as error:
        return OwnGenerator(), [f"perf_analyzer cannot be had, so cascade's own generator was used: {error}"]


def _targets(
    subject: Subject, wanted: Wanted, forward: Callable[[str], None]
) -> Sequence[AbstractContextManager[Served]]:
    if wanted.url is not None:
        return [nullcontext(running(wanted.url, subject.config.export.model_name, wanted.metrics_url))]
    if any(layout != subject.config.serving.layout for layout in wanted.layouts):
        parts(subject)  # what is missing is better known before the first layout has been measured
    return [served(subject, layout, forward) for layout in wanted.layouts]


def _bench(
    found: Report,
    subject: Subject,
    target: Served,
    generator: Generator,
    requests: Path,
    wanted: Wanted,
    report: Callable[[Point], None],
) -> None:
    """One layout: the sweep, memory after it, and the soak, which only the first layout gets."""
    with Probe(target.target) as probe:
        bench = Bench(target, probe, generator, requests)
        points = sweep(bench, wanted.plan, report)
        found.points += points
        if target.startup_s is not None:
            found.startup_s[target.layout] = round(target.startup_s, 2)
        if target.target.pid is None:
            found.notes.append(f"{target.target.url} is not on this machine, or not ours: no CPU time, no memory")
        else:
            found.memory_mb[target.layout] = summary(memory_of(target.target.pid))
        fastest = best([point for point in points if point.batch == wanted.plan.batches[0]])
        found.stages_ms = found.stages_ms or (fastest.stages_ms if fastest else {})
        if target.layout == "fused" and target.repository is not None:
            found.floors = _floors(subject, target.repository, best([p for p in points if p.batch == 1]))
        if wanted.soak_s and not found.soak:
            if fastest is None:
                raise ConfigError("--soak: expected a best rate of a concurrency sweep; give --concurrency")
            rate = wanted.soak_load * fastest.requests_per_s
            found.soak = soak(bench, rate, fastest.batch, wanted.soak_s, report)


def _floors(subject: Subject, repository: Path, alone: Point | None) -> dict[str, Any]:
    export = subject.config.export
    version = repository / export.model_name / str(export.version)
    stages = floors(version, Path(subject.config.feature_store.repo), subject.user_ids)
    if not stages:
        return {}
    total = sum(stages.values())
    served_ms = alone.cpu_ms_per_request if alone else None
    return {
        "stages_ms": {name: round(ms, 4) for name, ms in stages.items()},
        "sum_ms": round(total, 4),
        "cpu_ratio": round(served_ms / total, 2) if served_ms else None,
    }


def _sender(
    generator: Generator, wanted: Wanted, report: Callable[[Point], None]
) -> Callable[[Target, Path], list[Point]]:
    """What a rival is measured with: the same generator, seconds and warm-up."""

    def send(target: Target, requests: Path) -> list[Point]:
        with Probe(target) as probe:
            bench = Bench(Served(target, wanted.compare or "", None), probe, generator, requests)
            plan = Plan((1,), CONCURRENCY, (), max(wanted.plan.seconds, SECONDS), wanted.plan.warmup_s)
            return sweep(bench, plan, report)

    return send
