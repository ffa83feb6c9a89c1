"""``cascade plan`` and ``cascade run``: the stages of the pipeline."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.text_table import table
from .options import NONE, PIPELINE, RUNS, AsJson, ConfigFile, Runs, Sets, Verbose, load, print_json

if TYPE_CHECKING:
    from ..config.pipeline import PipelineConfig
    from ..core.artifact import Artifact
    from ..pipeline.stages import PlanRow, Progress
    from ..rollout.gates.verdict import GateReport


_EXPORTED = (
    "note: the release of this run is published, and was not judged; see `cascade release list` and `cascade release "
    "verify` before you promote or reload it"
)


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
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Whether a release that this run exports is judged.")
    ] = True,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Run every stage that is not up to date.

    A line on stderr tells when each stage begins and ends; the figures of the evaluation are printed at the end. A
    release that this run has exported is judged as by `cascade release verify`; the exit code does not depend on that.
    With --json, stdout has which stages ran, the metrics of the evaluation, the release and what the gates say of it.
    If TF_CONFIG is set, this process runs as one of the workers that it names.
    """
    import os

    from ..core.errors import CascadeError
    from ..models.training.worker_group import joined
    from ..pipeline.launch import launch, trains
    from .text.evaluation import whole_text
    from .text.gates import judgement_text

    merged = load(config, sets)
    if take_over:
        _take_over(merged, runs)
    if workers > 1 and trains(merged, runs, only, force):
        given = {"--force": force, "--no-verify": not verify, "--json": as_json, "--verbose": verbose}
        flags = [flag for flag, wanted in given.items() if wanted]
        arguments = [*_repeated("--set", sets), *_repeated("--only", only), *flags]
        raise typer.Exit(launch(workers, ["run", "--config", str(config), "--runs", str(runs), *arguments]))
    ran = set[str]()
    with joined(os.environ) as group, group.watched():
        try:
            done = run_stages(merged, runs, only, force, ran)
        except CascadeError:
            if group.chief and "export" in ran:
                typer.echo(_EXPORTED, err=True)
            raise
    if not group.chief:
        return
    if "evaluation" in done and not as_json:
        typer.echo(f"\n{whole_text(done['evaluation'])}")
    release = str(done["export"].metrics["release"]) if "export" in done else None
    report = _judged(config, sets, runs, release) if release and verify and "export" in ran else None
    if as_json:
        print_json(_as_json(done, ran, release, report))
    elif report:
        typer.echo(f"\n{judgement_text(report)}")


def _take_over(config: PipelineConfig, runs: Path) -> None:
    from ..ensemble.config import pipeline_name
    from ..ensemble.repository.owner import Owner
    from ..ensemble.repository.publication import take_over

    take_over(config.export, Owner(pipeline_name(config.feature_store, config.export), str(runs.resolve())))


def _judged(config: Path, sets: list[str], runs: Path, release: str) -> GateReport | None:
    """What the gates say of a new release, beside the stable one. What stops them is no error of the run."""
    from ..core.errors import CascadeError
    from .release import verified

    try:
        return verified(config, sets, runs, release)
    except CascadeError as error:
        typer.echo(f"\nrelease {release}: not judged: {error}", err=True)
        return None


def _as_json(
    done: Mapping[str, Artifact], ran: Collection[str], release: str | None, report: GateReport | None
) -> dict[str, Any]:
    return {
        "stages": [{"stage": name, "artifact": made.path, "ran": name in ran} for name, made in done.items()],
        "evaluation": done["evaluation"].metrics if "evaluation" in done else None,
        "release": release,
        "gates": report.to_json() if report else None,
    }


def run_stages(
    config: PipelineConfig, runs: Path, only: list[str], force: bool, ran: set[str] | None = None
) -> dict[str, Artifact]:
    """Run stages, with a line on stderr when each begins and ends. Nothing is printed on stdout.

    Args:
        ran: the names of the stages that were not up to date are added to it.

    Returns:
        Stage name -> its artifact.
    """
    from ..api.pipeline import run

    def note(step: Progress) -> None:
        if ran is not None and step.seconds is not None:
            ran.add(step.stage.name)

    return run(config, runs, only=only or None, force=force, progress=True, report=note)


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
