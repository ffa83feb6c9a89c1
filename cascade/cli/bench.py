"""``cascade bench``: load tests of the served model."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import ConfigError
from .logging import is_verbose, to_stderr
from .options import NONE, PIPELINE, RUNS, AsJson, ConfigFile, Runs, Sets, Verbose, load, print_json

if TYPE_CHECKING:
    from ..bench.chaos.flood import FloodResult
    from ..bench.load.point import Point
    from ..bench.targets import ExportedPipeline
    from ..config.pipeline import PipelineConfig
    from ..ensemble.server.server import TritonServer


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
    chaos: Annotated[
        bool,
        typer.Option(
            "--chaos",
            help="Kill and freeze each process of a server under load, and report what clients notice, instead of "
            "measuring its speed. --rate sets the load; default: 200 requests per second.",
        ),
    ] = False,
    times: Annotated[int, typer.Option(min=1, help="With --chaos: how often each process is broken.")] = 5,
    malformed: Annotated[
        int, typer.Option(min=0, help="With --chaos: how many malformed requests are sent at the end.")
    ] = 2000,
    swaps: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Make one of the two newest releases live after the other, so often, under load, and check every "
            "answer against its release, instead of measuring speed. --rate sets the load; default: 200 requests per "
            "second.",
        ),
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
    from ..bench.load.sweep import LoadSchedule
    from ..bench.load.workload import Workload
    from ..bench.report.page import render
    from ..bench.report.text import as_text
    from ..bench.run import BenchOptions, run
    from ..core.progress import progress

    pipeline = _exported(load(config, sets), runs, items)
    if chaos and (url or metrics_url):
        raise ConfigError("--url: --chaos breaks a server that it starts itself, never one that runs; leave it out")
    if chaos:
        _chaos(pipeline, times, (rate or [200.0])[0], malformed)
        return
    if swaps is not None:
        _swaps(pipeline, swaps, (rate or [200.0])[0], config, sets)
        return
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
    with progress(total=options.points, unit="point") as bar:

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


def _chaos(pipeline: ExportedPipeline, times: int, rate: float, malformed: int) -> None:
    """Start a server with at least two instances, break it, and print what clients noticed."""
    from ..bench.chaos.faults import Fault, as_text, break_everything, kinds
    from ..bench.chaos.flood import as_text as flood_text
    from ..bench.chaos.steady_load import SteadyLoad, grpc_endpoint, http_endpoint
    from ..core.progress import progress
    from ..ensemble.server.served_model import instance_count
    from ..ensemble.server.server import TritonServer
    from ..ensemble.server.status import ServerStatus

    config = pipeline.config
    instances = max(2, instance_count(config.server.instances))
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    settings = config.server.model_copy(update={**ports, "instances": instances, "max_restarts": 1_000_000})
    server = TritonServer(
        Path(config.export.repository),
        config.export.model_name,
        feature_repo=Path(config.feature_store.repo),
        redis=config.feature_store.connection,
        config=settings,
        forward=to_stderr if is_verbose() else lambda line: None,
    )
    users = pipeline.user_ids[:1000].tolist()

    def ready() -> bool:
        return ServerStatus.read(server.status_file).ready

    with server, progress(total=times * kinds(server), unit="fault") as bar:

        def on_fault(fault: Fault) -> None:
            bar.update()

        with SteadyLoad(grpc_endpoint(server.grpc_url, server.model, ready), users, rate) as clients:
            faults = break_everything(server, clients, times, on_fault)
        with SteadyLoad(http_endpoint(server.http_url, server.model), users, rate) as clients:
            faults += break_everything(server, clients, times, on_fault, gateway=True)
        bar.close()
        flooded = _flood(server, users, malformed)
    typer.echo(as_text(faults))
    typer.echo(f"load: {rate:g} requests per second; {instances} instances; {os.cpu_count()} cores")
    if malformed:
        typer.echo(flood_text(flooded))


def _swaps(pipeline: ExportedPipeline, times: int, rate: float, config_file: Path, sets: list[str]) -> None:
    """Serve copies of the two newest releases, swap them, and print what clients noticed."""
    import tempfile

    from ..bench.chaos.steady_load import Endpoint, SteadyLoad
    from ..bench.swaps.arms import arms_steps, arms_text, try_arms
    from ..bench.swaps.checked_answers import CheckedClients, expected_answers
    from ..bench.swaps.rollbacks import MOST, previous_of, roll_back_often, rollbacks_text
    from ..bench.swaps.serve_process import cascade_serve
    from ..bench.swaps.swap import as_text, prepare, swap_often, version_folders
    from ..core.progress import progress
    from ..rollout.releases.live_set import LiveSets
    from ..rollout.releases.store import ReleaseStore

    config = pipeline.config
    model = config.export.model_name
    store = ReleaseStore(Path(config.export.repository), model)
    newest = [release.id for release in store.releases()[:2]]
    if len(newest) < 2:
        raise ConfigError(
            f"--swaps: needs two releases, {store.place} has {len(newest)}; `cascade run` with another config makes one"
        )
    users = pipeline.user_ids[:200].tolist()
    with tempfile.TemporaryDirectory(prefix="cascade-swaps-") as folder:
        own = ReleaseStore(Path(folder) / "models", model)
        prepare(store, own, newest)
        features = config.feature_store
        expected = expected_answers(version_folders(own, newest), users, Path(features.repo), features.connection)
        settings = [f"--set={each}" for each in (*sets, f"export.repository={own.repository}")]
        log = Path(folder) / "serve.log"
        command = [f"--config={config_file}", *settings]
        with cascade_serve(command, log) as url:
            clients = CheckedClients(url, model, expected)
            endpoint = Endpoint(clients.connect, lambda: False, lambda user: True)
            with (
                SteadyLoad(endpoint, users, rate) as load,
                progress(total=times + min(times, MOST) + arms_steps(times), unit="step") as bar,
            ):

                def on_step() -> None:
                    bar.update()

                report = swap_often(own, (newest[0], newest[1]), clients, load, times, on_step)
                live_sets = LiveSets(own.repository, model)
                rollbacks = roll_back_often(live_sets, command, clients, load, times, on_step)
                arms = try_arms(own, previous_of(live_sets), clients, load, times, on_step=on_step)
    typer.echo(as_text(report))
    typer.echo(rollbacks_text(rollbacks))
    typer.echo(arms_text(arms))
    typer.echo(f"load: {rate:g} requests per second; {os.cpu_count()} cores")
    if report.errors or rollbacks.errors or arms.errors:
        raise typer.Exit(1)


def _flood(server: TritonServer, users: list[Any], requests: int) -> FloodResult:
    """Send malformed requests, with valid ones of both protocols beside them."""
    import asyncio
    import itertools

    from ..bench.chaos.flood import flood
    from ..bench.chaos.steady_load import over_grpc, over_http
    from ..core.progress import progress

    turn = itertools.cycle(users)
    with (
        over_grpc(server.grpc_url, server.model)() as grpc,
        over_http(server.http_url, server.model)() as http,
        progress(total=requests, unit="request") as bar,
    ):

        def ask() -> None:
            grpc(next(turn))
            http(next(turn))

        def on_sent() -> None:
            bar.update()

        return asyncio.run(
            flood(server.http_url, server.grpc_url, os.getpid(), ask, requests=requests, on_sent=on_sent)
        )


def _exported(config: PipelineConfig, runs: Path, items: int | None) -> ExportedPipeline:
    """The exported pipeline of the config, or a synthetic shop with ``items`` items."""
    from ..bench.targets import ExportedPipeline
    from ..pipeline.stages import find

    if items is None:
        return ExportedPipeline(config, lambda stage: find(config, runs, stage))
    from ..bench.catalogue.build import build

    catalogue = build(items, runs / "bench" / "shop", Path(config.feature_store.repo))
    return ExportedPipeline(catalogue.config, catalogue.artifacts.__getitem__)
