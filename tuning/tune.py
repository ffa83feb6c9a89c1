"""`cascade tune`: prepares a study from a config, runs its trials, and writes the report and the best config."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.load import validated
from ..config.pipeline import PipelineConfig
from ..config.sources import Sources
from ..core.errors import ConfigError
from ..core.section import stored
from .configure import checked_space, trial_config
from .executors import trial_executor
from .metric import Direction, StudyMetric, affects, check_influence, default_metric, read_metric, sections_read
from .outcome import Outcome
from .report import as_html
from .results import Results, results_of
from .search import SearchBudget, search
from .space import Space, default_space, read_space
from .study import BASELINE, check_setup, open_study, requeue_interrupted, study_lock
from .trial import EpochReporter, TrialObjective

if TYPE_CHECKING:
    from optuna.study import Study

BEST, REPORT, DATABASE = "best.yaml", "report.html", "study.db"


@dataclass(frozen=True)
class Options:
    """How to search; see `cascade tune --help`."""

    trials: int = 20
    metric: str | None = None
    direction: Direction | None = None
    space: Path | None = None
    study: str | None = None
    sampler: str = "tpe"
    pruner: str = "median"
    seed: int = 0
    workers: int = 1
    scheduler: str | None = None
    storage: str | None = None
    """URL of a database to use instead of the study's own sqlite file."""
    minutes: float | None = None


@dataclass(frozen=True)
class Job:
    """A study that is ready to run."""

    name: str
    folder: Path
    objective: TrialObjective
    setup: Mapping[str, Any]
    """What its trials share: the metric, the space, and the config sections that the metric depends on."""


def prepare(config: PipelineConfig, runs: Path, options: Options) -> Job:
    """Decide what is searched and measured.

    Raises:
        ConfigError: if the space names an unknown key, an invalid value or a key without influence, or the metric is
            unknown.
    """
    config, metric = _with_space(config, options)
    _check_pruner(metric, options.pruner)
    space = checked_space(config)
    objective = TrialObjective(config.given(), space, metric, runs.resolve())
    setup = _setup(config, space, metric)
    digest = hashlib.sha256(json.dumps(setup, sort_keys=True).encode()).hexdigest()[:8]
    name = options.study or f"{config.feature_store.project or 'study'}-{metric.stage}-{digest}"
    return Job(name, runs / "tune" / name, objective, setup)


def tune(job: Job, options: Options, on_trial: Callable[[Outcome], None] = lambda outcome: None) -> Results:
    """Run more trials of the study.

    An interrupted study can be resumed, and its files are written in any case.

    Args:
        on_trial: called after each trial.
    """
    with study_lock(job.folder, job.name):
        url = options.storage or f"sqlite:///{job.folder.resolve() / DATABASE}"
        direction = job.objective.metric.direction
        study = open_study(url, job.name, direction, options.sampler, options.pruner, options.seed)
        check_setup(study, job.setup)
        requeue_interrupted(study)
        try:
            _search(study, job.objective, options, url, on_trial)
        finally:
            requeue_interrupted(study)
            results = results_of(study, str(job.objective.metric))
            write(job, results)
    return results


def _search(
    study: Study, objective: TrialObjective, options: Options, url: str, on_trial: Callable[[Outcome], None]
) -> None:
    """Measure the config before tuning, once for each study, then run the trials."""
    with trial_executor(options.workers, options.scheduler) as (executor, at_once):
        if BASELINE not in study.user_attrs:
            study.set_user_attr(BASELINE, executor.submit(objective.measure, {}).result().value)
        seconds = None if options.minutes is None else 60 * options.minutes
        search(
            study,
            objective.space.distributions(),
            objective.attempt,
            executor,
            SearchBudget(options.trials, at_once, seconds),
            lambda trial: EpochReporter(url, study.study_name, trial._trial_id, options.pruner),
            on_trial,
        )


def write(job: Job, results: Results) -> None:
    """Write the report and, if a trial completed, the best config."""
    (job.folder / REPORT).write_text(as_html(results))
    if results.best is not None:
        (job.folder / BEST).write_text(best_yaml(job, results))


def best_yaml(job: Job, results: Results) -> str:
    """The config of the best trial as YAML: the keys that the tuned config sets, with the trial's values.

    Raises:
        ConfigError: if no trial completed.
    """
    import yaml

    best = results.best
    if best is None:
        raise ConfigError(f"--study {job.name}: no trial has completed")
    tree = trial_config(job.objective.given, job.objective.space, best.params).given(secrets=False)
    tree.pop("tune", None)
    before = "" if results.baseline is None else f"; before tuning: {results.baseline:.6g}"
    comments = [
        f"Study {job.name}, trial {best.number} of {len(results.trials)}",
        f"{results.metric}: {best.value:.6g}{before}",
        *(f"{name} = {value}" for name, value in best.params.items()),
    ]
    body: str = yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=120)
    return "".join(f"# {line}\n" for line in comments) + body


def as_json(job: Job, results: Results) -> dict[str, Any]:
    """The output of ``--json``."""
    best = results.best
    return {
        "study": results.study,
        "metric": results.metric,
        "direction": "maximize" if results.maximize else "minimize",
        "baseline": results.baseline,
        "best": asdict(best) if best else None,
        "config": str(job.folder / BEST) if best else None,
        "report": str(job.folder / REPORT),
        "counts": results.counts(),
        "importance": dict(results.importance),
        "trials": [asdict(trial) for trial in results.trials],
    }


def _with_space(config: PipelineConfig, options: Options) -> tuple[PipelineConfig, StudyMetric]:
    """The config with the searched space as its section ``tune``, and the metric."""
    tree = read_space(options.space) if options.space else None
    if tree is None and not config.tune:
        tree = default_space()
        if options.metric is not None:  # keep the entries of the default that the metric depends on
            stage = read_metric(options.metric).stage
            tree = {name: value for name, value in tree.items() if affects(name, stage)}
    if tree is not None:
        config = validated(Sources({**config.given(), "tune": tree}))
    keys = [key for parameter in Space.of(config.tune).parameters for key in parameter.keys]
    if options.metric is None:
        return config, default_metric(keys, options.direction)
    metric = read_metric(options.metric, options.direction)
    check_influence(keys, metric)
    return config, metric


def _check_pruner(metric: StudyMetric, pruner: str) -> None:
    """Refuse to minimize with a pruner, which compares validation scores of epochs, where more is better."""
    if metric.direction == "minimize" and pruner != "none":
        raise ConfigError(
            f"--pruner {pruner}: it maximizes the epochs' validation score, but {metric} is minimized; "
            "give --pruner none"
        )


def _setup(config: PipelineConfig, space: Space, metric: StudyMetric) -> dict[str, Any]:
    sections = {key: stored(config.section(key)) for key in sections_read(metric.stage)}
    with suppress(KeyError):  # these keys do not change what the ETL writes
        for name in ("scheduler", "workers", "memory_limit", "device"):
            del sections["etl"][name]
    return {"metric": f"{metric.direction} {metric}", "space": space.to_json(), "config": sections}
