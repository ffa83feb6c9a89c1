"""``cascade bench``: load tests of the served model."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .logging import is_verbose, to_stderr
from .options import NONE, PIPELINE, RUNS, AsJson, ConfigFile, Runs, Sets, Verbose, load, print_json

if TYPE_CHECKING:
    from ..bench.load.point import Point
    from ..bench.targets import ExportedPipeline
    from ..config.pipeline import PipelineConfig


class LayoutName(StrEnum):
    """Values of ``serving.layout``."""

    FUSED = "fused"
    ENSEMBLE = "ensemble"


class Rival(StrEnum):
    """Other servers of the same models."""

    MERLIN = "merlin"


NO_LAYOUTS: list[LayoutName] = []
BATCHES = [1, 8]
CONCURRENCY = [1, 2, 4, 8, 16, 32]
NO_RATES: list[float] = []


def bench(
    url: Annotated[
        str | None,
        typer.Option(help="host:port of the gRPC endpoint of a running server. By default a server is started."),
    ] = None,
    metrics_url: Annotated[
        str | None, typer.Option(help="URL of that server's metrics, to report the time of each step. Only with --url.")
    ] = None,
    layout: Annotated[
        list[LayoutName], typer.Option(help="Layout to measure. Default: serving.layout of the config. Repeatable.")
    ] = NO_LAYOUTS,
    batch: Annotated[list[int], typer.Option(min=1, help="Users in each request. Repeatable.")] = BATCHES,
    concurrency: Annotated[
        list[int], typer.Option(min=1, help="Requests in flight at the same time. Repeatable.")
    ] = CONCURRENCY,
    rate: Annotated[
        list[float],
        typer.Option(
            min=0.1,
            help="Arrival rate of the Poisson load, requests per second. Repeatable. Default: several shares of the "
            "best rate that was measured before.",
        ),
    ] = NO_RATES,
    no_rate: Annotated[bool, typer.Option("--no-rate", help="Skip the measurements at fixed arrival rates.")] = False,
    seconds: Annotated[float, typer.Option(min=0.3, help="Duration of each measurement, seconds.")] = 6.0,
    warmup: Annotated[float, typer.Option(min=0, help="Load before each batch size is measured, seconds.")] = 3.0,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Items for each user. Default: serving.rerank.k of the config.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0, help="Sampling temperature; 0 sorts by score.")] = 0.5,
    soak: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Duration of a soak test at the end, seconds; 0 skips it.")
    ] = 0.0,
    soak_load: Annotated[
        float, typer.Option("--load", min=0.01, help="Arrival rate of the soak test as a share of the best rate.")
    ] = 0.8,
    items: Annotated[
        int | None,
        typer.Option(min=1, help="Measure a synthetic shop with this many items instead of the pipeline's model."),
    ] = None,
    compare: Annotated[
        Rival | None, typer.Option(help="Measure another server of the same models as well: the stock Merlin ensemble.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="File for the HTML report. Default: bench/report.html in the folder of --runs.")
    ] = None,
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Measure the exported model under load.

    Reports rates, latencies, CPU time, memory, and the time of each step of the request path.
    """
    from tqdm import tqdm

    from ..bench.load.sweep import LoadSchedule
    from ..bench.load.workload import Workload
    from ..bench.report.page import render
    from ..bench.report.text import as_text
    from ..bench.run import BenchOptions, run

    pipeline = _exported(load(config, sets), runs, items)
    serving = pipeline.config.serving
    options = BenchOptions(
        layouts=[entry.value for entry in layout] or [serving.layout],
        schedule=LoadSchedule(batch, concurrency, [] if no_rate else rate or None, seconds, warmup),
        workload=Workload(top_k=top_k or serving.rerank.k, temperature=temperature),
        url=url,
        metrics_url=metrics_url,
        soak_s=soak,
        soak_load=soak_load,
        compare=None if compare is None else compare.value,
    )
    with tqdm(total=options.points, unit="point", disable=None) as bar:

        def on_point(point: Point) -> None:
            bar.update()

        report = run(pipeline, options, on_point, to_stderr if is_verbose() else lambda line: None)
    report.save(runs / "bench" / "last.json")
    page = html or runs / "bench" / "report.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(report))
    if as_json:
        print_json(report.to_json())
    else:
        typer.echo(f"{as_text(report)}\n\nreport: {page}")


def _exported(config: PipelineConfig, runs: Path, items: int | None) -> ExportedPipeline:
    """The exported pipeline of the config, or a synthetic shop with ``items`` items."""
    from ..bench.targets import ExportedPipeline
    from ..pipeline.stages import find

    if items is None:
        return ExportedPipeline(config, lambda stage: find(config, runs, stage))
    from ..bench.catalogue.build import build

    catalogue = build(items, runs / "bench" / "shop", Path(config.feature_store.repo))
    return ExportedPipeline(catalogue.config, catalogue.artifacts.__getitem__)
