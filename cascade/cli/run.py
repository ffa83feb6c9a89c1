"""``cascade plan`` and ``cascade run``: the stages of the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.text_table import table
from .options import NONE, PIPELINE, RUNS, AsJson, ConfigFile, Runs, Sets, Verbose, load, print_json

if TYPE_CHECKING:
    from ..config.pipeline import PipelineConfig
    from ..core.artifact import Artifact
    from ..pipeline.stages import PlanRow


def plan(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """List the stages that would run or publish, and why.

    If a stage would refuse its tables or their columns, that is the error, as in a run. No row is read.
    """
    from dataclasses import asdict

    from ..pipeline.stages import check_inputs, with_publications
    from ..pipeline.stages import plan as plan_stages

    merged = load(config, sets)
    rows = with_publications(plan_stages(merged, runs), merged)
    check_inputs(merged, [row.stage for row in rows if not row.up_to_date])
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        typer.echo(plan_table(rows))


def run(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    only: Annotated[list[str], typer.Option(help="Run this stage and those that it needs. Repeatable.")] = NONE,
    force: Annotated[
        bool, typer.Option("--force", help="Run the stages of --only, or all stages, even if they are up to date.")
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over", help="Publish in the place of another pipeline's model: it belongs to this one from then on."
        ),
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine that train each model together.")] = 1,
    verbose: Verbose = False,
) -> None:
    """Run every stage that is not up to date.

    A line on stderr tells when each stage begins and ends; the figures of the evaluation are printed at the end.
    If TF_CONFIG is set, this process runs as one of the workers that it names.
    """
    import os

    from ..models.training.worker_group import joined
    from ..pipeline.launch import launch, trains
    from .text.evaluation import whole_text

    merged = load(config, sets)
    if take_over:
        _take_over(merged, runs)
    if workers > 1 and trains(merged, runs, only, force):
        flags = [*(["--force"] if force else []), *(["--verbose"] if verbose else [])]
        arguments = [*_repeated("--set", sets), *_repeated("--only", only), *flags]
        raise typer.Exit(launch(workers, ["run", "--config", str(config), "--runs", str(runs), *arguments]))
    with joined(os.environ) as group, group.watched():
        done = run_stages(merged, runs, only, force)
    if group.chief and "evaluation" in done:
        typer.echo(f"\n{whole_text(done['evaluation'])}")


def _take_over(config: PipelineConfig, runs: Path) -> None:
    from ..ensemble.config import pipeline_name
    from ..ensemble.repository.owner import Owner
    from ..ensemble.repository.publication import take_over

    take_over(config.export, Owner(pipeline_name(config.feature_store, config.export), str(runs.resolve())))


def run_stages(config: PipelineConfig, runs: Path, only: list[str], force: bool) -> dict[str, Artifact]:
    """Run stages, with a line on stderr when each begins and ends. Nothing is printed on stdout.

    Returns:
        Stage name -> its artifact.
    """
    from ..api.pipeline import run

    return run(config, runs, only=only or None, force=force, progress=True)


def plan_table(rows: Sequence[PlanRow]) -> str:
    """One line for each stage: whether it would run, and why."""
    lines = [(row.stage, _what(row), row.why or row.publish) for row in rows]
    return table(("stage", "", "why"), lines)


def _what(row: PlanRow) -> str:
    if not row.up_to_date:
        return "would run"
    return "would publish" if row.publish else "up to date"


def _repeated(option: str, values: list[str]) -> list[str]:
    """The option once for each value, as on a command line."""
    return [part for value in values for part in (option, value)]
