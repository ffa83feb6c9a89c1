"""The command line. Bodies import what they need, so that ``cascade --help`` stays quick."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import CascadeError, ConfigError, RequestError
from .bench import bench
from .features import features
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
from .show import show
from .size import size
from .tune import tune

if TYPE_CHECKING:
    from ..config.pipeline import PipelineConfig
    from ..core.artifact import Artifact
    from ..pipeline.stages import Progress

WRONG_INPUT = 2
INTERNAL_ERROR = 1
TERMINATED = 128 + signal.SIGTERM

app = typer.Typer(
    name="cascade",
    help="From raw interactions to a multi-stage recommender that answers inside Triton Inference Server.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
)
app.add_typer(features, name="features")
app.command(epilog="Example: cascade bench --concurrency 16 --no-rate --soak 300")(bench)
app.command(epilog="Example: cascade size --price-per-hour 1.20 --qps 3000 --table item_id=10000000x64")(size)
app.command(epilog="Example: cascade show ranker")(show)
app.command(epilog="Example: cascade tune --set 'tune.two_tower.loss=[bpr, softmax]' --trials 10 --workers 2")(tune)


def main() -> None:
    """Run the command line; an error is one line on stderr, or several where several things are wrong."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(TERMINATED))  # unwinds: servers stop, folders go
    try:
        app()
    except CascadeError as error:
        _fail(error, str(error), WRONG_INPUT)
    except Exception as error:
        _fail(error, f"{type(error).__name__}: {error} (--verbose says where)", INTERNAL_ERROR)


@app.command(epilog="Example: cascade doctor --json")
def doctor(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Check that this machine can run everything, and say what to do where it cannot."""
    from . import doctor as checks

    found = checks.examine(config, sets)
    typer.echo(checks.as_json(found) if as_json else checks.as_text(found))
    if any(check.status == "fail" for check in found):
        raise typer.Exit(1)


@app.command("config", epilog="Example: cascade config --set serving.ann.topk=300")
def show_config(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Print the merged configuration and where each value came from."""
    from ..config.load import load_config
    from .text import config_text

    merged, origins = load_config(config, sets)
    if as_json:
        _print_json({"config": merged.tree(), "origins": origins})
    else:
        typer.echo(config_text(merged.tree(), origins))


@app.command(epilog="Example: cascade plan --set two_tower.loss=bpr")
def plan(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Say which stages would run, and why."""
    from dataclasses import asdict

    from ..pipeline.stages import plan as plan_stages
    from .text import plan_table

    rows = plan_stages(load(config, sets), runs)
    if as_json:
        _print_json([asdict(row) for row in rows])
    else:
        typer.echo(plan_table(rows))


@app.command(epilog="Example: cascade run --only ranker --set dlrm_ranker.training.epochs=10")
def run(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    only: Annotated[list[str], typer.Option(help="This stage and what it needs; may be given again.")] = NONE,
    force: Annotated[bool, typer.Option("--force", help="Run although it is up to date.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine that train together.")] = 1,
    verbose: Verbose = False,
) -> None:
    """Run the stages that are not up to date, in order; an evaluation's figures come last.

    With TF_CONFIG set it runs as one of the workers that it names.
    """
    import os

    from ..models.training.worker_group import joined
    from ..pipeline.launch import launch, trains
    from .evaluation_text import whole_text

    merged = load(config, sets)
    if workers > 1 and trains(merged, runs, only, force):
        flags = [*(["--force"] if force else []), *(["--verbose"] if verbose else [])]
        given = [*_each("--set", sets), *_each("--only", only), *flags]
        raise typer.Exit(launch(workers, ["run", "--config", str(config), "--runs", str(runs), *given]))
    with joined(os.environ) as group, group.watched():
        done = _run(merged, runs, only, force)
    if group.chief and "evaluation" in done:
        typer.echo(f"\n{whole_text(done['evaluation'])}")


@app.command(epilog="Example: cascade serve --http-port 9000 --grpc-port 9001 --metrics-port 9002")
def serve(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    http_port: Annotated[int | None, typer.Option(help="0 picks a free port.")] = None,
    grpc_port: Annotated[int | None, typer.Option(help="0 picks a free port.")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="0 picks a free port.")] = None,
    verbose: Verbose = False,
) -> None:
    """Serve the exported model with Triton until SIGINT or SIGTERM."""
    from ..ensemble.server.server import serve

    flags = {"host": host, "http_port": http_port, "grpc_port": grpc_port, "metrics_port": metrics_port}
    given = [f"server.{name}={value}" for name, value in flags.items() if value is not None]
    merged = load(config, [*sets, *given])
    serve(
        merged.server,
        repository=Path(merged.export.repository),
        model=merged.export.model_name,
        feature_repo=Path(merged.feature_store.repo),
    )


@app.command(epilog="Example: cascade recommend --user 42 --top-k 10 --context hour=20 --json")
def recommend(
    user: Annotated[list[str], typer.Option(help="Raw user id; may be given again.")],
    top_k: Annotated[int | None, typer.Option(help="Items per user.")] = None,
    context: Annotated[list[str], typer.Option(metavar="COLUMN=VALUE", help="A context column.")] = NONE,
    exclude: Annotated[list[str], typer.Option(help="Raw id of an item not to show; may be given again.")] = NONE,
    temperature: Annotated[float | None, typer.Option(help="Sampling temperature; 0 sorts by score.")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes sampling repeatable.")] = None,
    url: Annotated[str | None, typer.Option(help="host:port of the gRPC endpoint, instead of the config's.")] = None,
    model: Annotated[str, typer.Option(help="Name of the model at --url.")] = "cascade",
    timeout: Annotated[float, typer.Option(help="Seconds that the call may take.")] = 10.0,
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Ask the server for recommendations."""
    from ..ensemble.client import Client
    from .text import answer_notes, answer_table

    if url is None:
        merged = load(config, sets)
        url, model = f"{merged.server.host}:{merged.server.grpc_port}", merged.export.model_name
    with Client(url, model, timeout) as client:
        answers = client.recommend(
            [_raw_id(text) for text in user],
            top_k=top_k,
            context=_pairs(context),
            exclude_items=[_raw_id(text) for text in exclude],
            temperature=temperature,
            seed=seed,
        )
    if as_json:
        shown = [answer.to_json() for answer in answers]
        _print_json(shown if len(shown) > 1 else shown[0])
        return
    for answer in answers:
        typer.echo(f"user {answer.user_id}\n{answer_table(answer)}\n{answer_notes(answer)}\n")


@app.command(epilog="Example: cascade evaluate --json")
def evaluate(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    force: Annotated[bool, typer.Option("--force", help="Evaluate although it is up to date.")] = False,
    policy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Instead, estimate what another rerank policy earns from a log (Parquet or CSV) of propensity, "
            "new_propensity, reward and, optionally, user_id.",
        ),
    ] = None,
    clip: Annotated[float | None, typer.Option(help="With --policy: largest importance weight.", min=0)] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Measure the served graph on the test part, beside baselines."""
    from .evaluation_text import estimate_policy, policy_table, whole_text

    merged = load(config, sets)
    if policy is not None:
        found: Mapping[str, Any] = estimate_policy(policy, clip, merged.evaluation)
        text = policy_table(found)
    elif clip is not None:
        raise ConfigError("--clip: goes with --policy FILE")
    else:
        artifact = _run(merged, runs, ["evaluation"], force)["evaluation"]
        found = artifact.metrics
        text = whole_text(artifact)
    if as_json:
        _print_json(found)
    else:
        typer.echo(text)


@app.command(epilog="Example: cascade demo --set data.source=synthetic --config shop.yaml")
def demo(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    top_k: Annotated[int, typer.Option(help="Items per user.")] = 10,
    verbose: Verbose = False,
) -> None:
    """Run the pipeline, start the server, and show what it recommends to a few users."""
    from .demo import show_recommendations

    merged = load(config, sets)
    show_recommendations(merged, _run(merged, runs, [], False), top_k)


def _run(config: PipelineConfig, runs: Path, only: list[str], force: bool) -> dict[str, Artifact]:
    """Run stages with a line each on stderr, so that stdout holds the answer alone."""
    from ..pipeline.stages import run as run_stages
    from .text import progress_line

    def report(progress: Progress) -> None:
        typer.echo(progress_line(progress), err=True)

    return run_stages(config, runs, only, force, report=report)


def _each(option: str, values: list[str]) -> list[str]:
    """An option that is given again for each value."""
    return [part for value in values for part in (option, value)]


def _pairs(texts: list[str]) -> dict[str, str]:
    """``name=value`` each."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise RequestError(f"--context {text}: expected COLUMN=VALUE, e.g. --context hour=20")
        pairs[name] = value
    return pairs


def _raw_id(text: str) -> int | str:
    """An id that is written as integers are is one; the client makes text of it again where ids are text."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and str(int(text)) == text else text


def _print_json(value: Any) -> None:
    import json

    typer.echo(json.dumps(value, indent=2, default=str))


def _fail(error: Exception, message: str, code: int) -> None:
    """Print ``message`` and end; with ``--verbose`` the traceback, too."""
    if is_verbose():
        import traceback

        traceback.print_exception(error)
    for line in message.splitlines():
        typer.echo(f"error: {line}", err=True)
    sys.exit(code)
