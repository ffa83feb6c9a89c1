"""``cascade tune``: search over the config's own keys."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    from ..tuning.outcome import Outcome
    from ..tuning.tune import Job


class Direction(StrEnum):
    """Which values of a metric are better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


class Sampler(StrEnum):
    """Who picks the next values."""

    TPE = "tpe"
    RANDOM = "random"


class Pruner(StrEnum):
    """Who ends a trial after some epoch."""

    MEDIAN = "median"
    HALVING = "halving"
    NONE = "none"


def tune(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    trials: Annotated[int, typer.Option(min=0, help="More trials; 0 writes the report again.")] = 20,
    space: Annotated[Path | None, typer.Option(help="File to take in place of the config's section tune.")] = None,
    metric: Annotated[str | None, typer.Option(help="STAGE.valid_...; by default what the space touches.")] = None,
    direction: Annotated[Direction | None, typer.Option(help="By default as the metric's name says.")] = None,
    study: Annotated[str | None, typer.Option(help="Name; by default one for this config, space and metric.")] = None,
    sampler: Annotated[Sampler, typer.Option(help="How values are drawn.")] = Sampler.TPE,
    pruner: Annotated[Pruner, typer.Option(help="What ends a trial early, by its epochs.")] = Pruner.MEDIAN,
    seed: Annotated[int, typer.Option(help="Of the sampler.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Trials at a time, in processes of a Dask cluster.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help="tcp://host:port of a running Dask scheduler.")] = None,
    storage: Annotated[str | None, typer.Option(help="Database URL; by default a sqlite file of the study.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="After that, no further trial begins.")] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Search over keys of the config with Optuna, measured on the validation part; again goes on with the study."""
    import json

    from ..tuning import tune as tuning
    from ..tuning.report import as_text
    from ..tuning.results import Results

    options = tuning.Options(
        trials=trials,
        metric=metric,
        direction=direction.value if direction else None,
        space=space,
        study=study,
        sampler=sampler.value,
        pruner=pruner.value,
        seed=seed,
        workers=workers,
        scheduler=scheduler,
        storage=storage,
        minutes=minutes,
    )
    job = tuning.prepare(load(config, sets), runs, options)
    typer.echo(f"study {job.name}: {len(job.objective.space.parameters)} keys, {job.objective.metric}", err=True)
    found: Results = _with_bar(job, options)
    if as_json:
        typer.echo(json.dumps(tuning.as_json(job, found), indent=2))
        return
    typer.echo(f"{as_text(found)}\n\nreport: {job.folder / tuning.REPORT}")
    if found.best:
        typer.echo(f"best:   cascade run -c {job.folder / tuning.BEST}")


def _with_bar(job: Job, options: Any) -> Any:
    """Run the trials behind a progress bar; an interrupted study says how to go on."""
    from tqdm import tqdm

    from ..tuning.tune import tune as run_trials

    best = None
    with tqdm(total=options.trials, desc=job.name, unit="trial", disable=None) as bar:

        def on_trial(outcome: Outcome) -> None:
            nonlocal best
            if outcome.value is not None:
                better = max if job.objective.metric.direction == "maximize" else min
                best = outcome.value if best is None else better(best, outcome.value)
                bar.set_postfix_str(f"best {best:.4f}")
            if outcome.reason:
                tqdm.write(f"trial {outcome.state}: {outcome.reason.splitlines()[0]}", file=sys.stderr)
            bar.update()

        try:
            return run_trials(job, options, on_trial)
        except KeyboardInterrupt:
            tqdm.write(f"stopped; the same command goes on with study {job.name}", file=sys.stderr)
            raise
