"""``cascade tune``: hyperparameter search over keys of the config."""

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
    print_json,
)

if TYPE_CHECKING:
    from ..tuning.outcome import Outcome
    from ..tuning.tune import Job


class Direction(StrEnum):
    """Whether larger or smaller values of the metric are better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


class SamplerName(StrEnum):
    """How the values of the next trial are chosen."""

    TPE = "tpe"
    RANDOM = "random"


class Pruner(StrEnum):
    """Which trials are ended before their last epoch."""

    MEDIAN = "median"
    HALVING = "halving"
    NONE = "none"


def tune(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    trials: Annotated[
        int, typer.Option(min=0, help="Trials to run now; 0 only writes the report of the study again.")
    ] = 20,
    space: Annotated[
        Path | None, typer.Option(help="YAML file with the search space. Default: the section tune of the config.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="Validation metric, as STAGE.valid_NAME. Default: chosen from the keys of the search space."),
    ] = None,
    direction: Annotated[
        Direction | None, typer.Option(help="Whether more of the metric is better. Default: known from its name.")
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Name of the study. Default: one for each config, search space and metric.")
    ] = None,
    sampler: Annotated[SamplerName, typer.Option(help="How the values of a trial are drawn.")] = SamplerName.TPE,
    pruner: Annotated[
        Pruner, typer.Option(help="How weak trials are ended early, by the validation metric of their epochs.")
    ] = Pruner.MEDIAN,
    seed: Annotated[int, typer.Option(help="Seed of the sampler.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Trials at the same time, each in its own process.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="tcp://host:port of a running Dask scheduler whose workers run the trials.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="Database URL of the study. Default: a SQLite file in the folder of --runs.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Start no further trial after this many minutes. Default: no limit.")
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Search for better values of config keys with Optuna.

    Trials are measured on the validation part. Running the same command again continues the study.
    """
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
        print_json(tuning.as_json(job, found))
        return
    typer.echo(f"{as_text(found)}\n\nreport: {job.folder / tuning.REPORT}")
    if found.best:
        typer.echo(f"best:   cascade run -c {job.folder / tuning.BEST}")


def _with_bar(job: Job, options: Any) -> Any:
    """Run the trials with a progress bar; after an interruption, print how to continue."""
    from tqdm import tqdm

    from ..core.progress import progress
    from ..tuning.tune import tune as run_trials

    best = None
    with progress(total=options.trials, desc=job.name, unit="trial") as bar:

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
            tqdm.write(f"stopped; run the same command again to continue study {job.name}", file=sys.stderr)
            raise
