"""``cascade bench``: load tests of what is served."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .logging import is_verbose
from .options import (
    NONE,
    PIPELINE,
    RUNS,
    AsJson,
    ConfigFile,
    Runs,
    Sets,
    Verbose,
    load,
)

if TYPE_CHECKING:
    from ..bench.report.results import Point
    from ..bench.serving import Subject
    from ..config.pipeline import PipelineConfig


class Layout(StrEnum):
    """As ``serving.layout``."""

    FUSED = "fused"
    ENSEMBLE = "ensemble"


class Rival(StrEnum):
    """What else serves the same models."""

    MERLIN = "merlin"


NO_LAYOUTS: list[Layout] = []
BATCHES = [1, 8]
CONCURRENCY = [1, 2, 4, 8, 16, 32]
NO_RATES: list[float] = []


def bench(
    url: Annotated[str | None, typer.Option(help="host:port of the gRPC endpoint of a server that runs.")] = None,
    metrics_url: Annotated[str | None, typer.Option(help="Of the server at --url, for the time by stage.")] = None,
    layout: Annotated[list[Layout], typer.Option(help="The exported one by default; may be given again.")] = NO_LAYOUTS,
    batch: Annotated[list[int], typer.Option(min=1, help="Users in a request; may be given again.")] = BATCHES,
    concurrency: Annotated[
        list[int], typer.Option(min=1, help="Requests in flight; may be given again.")
    ] = CONCURRENCY,
    rate: Annotated[
        list[float],
        typer.Option(min=0.1, help="Requests a second, Poisson; may be given again. Shares of the best by default."),
    ] = NO_RATES,
    no_rate: Annotated[bool, typer.Option("--no-rate", help="Leave out the sweep of rates.")] = False,
    seconds: Annotated[float, typer.Option(min=0.3, help="Each point.")] = 6.0,
    warmup: Annotated[float, typer.Option(min=0, help="Seconds of load before each batch size.")] = 3.0,
    top_k: Annotated[int | None, typer.Option(min=1, help="Items per user; serving.rerank.k by default.")] = None,
    temperature: Annotated[float, typer.Option(min=0, help="Of sampling; 0 sorts by score.")] = 0.5,
    soak: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Then one rate for so long.")] = 0.0,
    soak_load: Annotated[
        float, typer.Option("--load", min=0.01, help="Of the soak, as a share of the best rate.")
    ] = 0.8,
    items: Annotated[int | None, typer.Option(min=1, help="Of a synthetic shop, instead of the pipeline.")] = None,
    compare: Annotated[Rival | None, typer.Option(help="Measure that, too, serving the same models.")] = None,
    html: Annotated[Path | None, typer.Option(help="The page; bench/report.html below --runs by default.")] = None,
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Load the exported model and say what it does: rates, latencies, CPU, memory, time by stage."""
    import json

    from tqdm import tqdm

    from ..bench.bench import Wanted, run
    from ..bench.load.sweep import Plan
    from ..bench.load.workload import Workload
    from ..bench.report.page import render
    from ..bench.report.text import as_text

    subject = _subject(load(config, sets), runs, items)
    serving = subject.config.serving
    plan = Plan(batch, concurrency, [] if no_rate else rate or None, seconds, warmup)
    wanted = Wanted(
        layouts=[entry.value for entry in layout] or [serving.layout],
        plan=plan,
        workload=Workload(top_k=top_k or serving.rerank.k, temperature=temperature),
        url=url,
        metrics_url=metrics_url,
        soak_s=soak,
        soak_load=soak_load,
        compare=None if compare is None else compare.value,
    )
    with tqdm(total=wanted.points, unit="point", disable=None) as bar:

        def advance(point: Point) -> None:
            bar.update()

        found = run(subject, wanted, advance, _to_stderr if is_verbose() else lambda line: None)
    found.save(runs / "bench" / "last.json")
    page = html or runs / "bench" / "report.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(found))
    typer.echo(json.dumps(found.to_json(), indent=2) if as_json else f"{as_text(found)}\n\nreport: {page}")


def _subject(config: PipelineConfig, runs: Path, items: int | None) -> Subject:
    """The pipeline's export, or that of a synthetic shop with so many items."""
    from ..bench.serving import Subject
    from ..pipeline.stages import find

    if items is None:
        return Subject(config, lambda stage: find(config, runs, stage))
    from ..bench.catalogue.build import build

    made = build(items, runs / "bench" / "shop", Path(config.feature_store.repo))
    return Subject(made.config, made.artifacts.__getitem__)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
