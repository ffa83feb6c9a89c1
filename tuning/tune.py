"""`cascade tune` from a config to a study: what is searched, what is measured, and the files that are left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.pipeline import PipelineConfig, validated
from ..config.sources import Sources
from ..core.errors import ConfigError
from .configure import checked_space, trial_config
from .crew import crew
from .metric import (
    Direction,
    Metric,
    check_influence,
    default_metric,
    is_read,
    read_metric,
    sections_read,
)
from .report import as_html
from .results import Results, results_of
from .search import Plan, search
from .space import Space, default_space, read_space
from .study import (
    BASELINE,
    check_meaning,
    only_one,
    open_study,
    settle,
)
from .trial import Outcome, Task, Ticket

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
    """URL of another database than the study's own sqlite file."""
    minutes: float | None = None


@dataclass(frozen=True)
class Job:
    """A study that could start now."""

    name: str
    folder: Path
    task: Task
    meaning: Mapping[str, Any]
    """What its trials have in common: metric, space, and the config's sections that they depend on."""


def prepare(config: PipelineConfig, runs: Path, options: Options) -> Job:
    """Decide what is searched and measured.

    Raises:
        ConfigError: the space holds what is no key, no value or without influence, or the metric is none.
    """
    config, metric = _with_space(config, options)
    _check_pruner(metric, options.pruner)
    space = checked_space(config)
    task = Task(config.given(), space, metric, runs.resolve())
    meaning = _meaning(config, space, metric)
    digest = hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:8]
    name = options.study or f"{config.feature_store.project or 'study'}-{metric.stage}-{digest}"
    return Job(name, runs / "tune" / name, task, meaning)


def tune(job: Job, options: Options, told: Callable[[Outcome], None] = lambda outcome: None) -> Results:
    """Run more trials of the study; whatever ends it, the study can go on, and its files say where it stands."""
    with only_one(job.folder, job.name):
        url = options.storage or f"sqlite:///{job.folder.resolve() / DATABASE}"
        study = open_study(url, job.name, job.task.metric.direction, options.sampler, options.pruner, options.seed)
        check_meaning(study, job.meaning)
        settle(study)
        try:
            _search(study, job.task, options, url, told)
        finally:
            settle(study)
            results = results_of(study, str(job.task.metric))
            write(job, results)
    return results


def _search(study: Study, task: Task, options: Options, url: str, told: Callable[[Outcome], None]) -> None:
    """The config as it is, once a study, then trials."""
    with crew(options.workers, options.scheduler) as (executor, at_once):
        if BASELINE not in study.user_attrs:
            study.set_user_attr(BASELINE, executor.submit(task.measure, {}).result().value)
        seconds = None if options.minutes is None else 60 * options.minutes
        search(
            study,
            task.space.distributions(),
            task.attempt,
            executor,
            Plan(options.trials, at_once, seconds),
            lambda trial: Ticket(url, study.study_name, trial._trial_id, options.pruner),
            told,
        )


def write(job: Job, results: Results) -> None:
    """Write the report and, if a trial has a value, the best config."""
    (job.folder / REPORT).write_text(as_html(results))
    if results.best is not None:
        (job.folder / BEST).write_text(best_yaml(job, results))


def best_yaml(job: Job, results: Results) -> str:
    """The best trial's config: what the tuned config gives, with the trial's values in it."""
    import yaml

    best = results.best
    if best is None:
        raise ConfigError(f"--study {job.name}: no trial has been measured to the end")
    tree = trial_config(job.task.given, job.task.space, best.params).given()
    tree.pop("tune", None)
    before = "" if results.baseline is None else f"; the config as it was: {results.baseline:.6g}"
    said = [
        f"Study {job.name}, trial {best.number} of {len(results.trials)}",
        f"{results.metric}: {best.value:.6g}{before}",
        *(f"{name} = {value}" for name, value in best.params.items()),
    ]
    body: str = yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=120)
    return "".join(f"# {line}\n" for line in said) + body


def as_json(job: Job, results: Results) -> dict[str, Any]:
    """For ``--json``."""
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


def _with_space(config: PipelineConfig, options: Options) -> tuple[PipelineConfig, Metric]:
    """The config whose section ``tune`` is what is searched, and the metric."""
    tree = read_space(options.space) if options.space else None
    if tree is None and not config.tune:
        tree = default_space()
        if options.metric is not None:  # of the default, what the metric depends on
            stage = read_metric(options.metric).stage
            tree = {name: value for name, value in tree.items() if is_read(name, stage)}
    if tree is not None:
        config = validated(Sources({**config.given(), "tune": tree}))
    keys = [key for parameter in Space.of(config.tune).parameters for key in parameter.keys]
    if options.metric is None:
        return config, default_metric(keys, options.direction)
    metric = read_metric(options.metric, options.direction)
    check_influence(keys, metric)
    return config, metric


def _check_pruner(metric: Metric, pruner: str) -> None:
    """Epochs report a score of which more is better."""
    if metric.direction == "minimize" and pruner != "none":
        raise ConfigError(
            f"--pruner {pruner}: compares the epochs' validation score, of which more is better, and of {metric} less "
            "is better; give --pruner none"
        )


def _meaning(config: PipelineConfig, space: Space, metric: Metric) -> dict[str, Any]:
    sections = {key: config.section(key).model_dump(mode="json") for key in sections_read(metric.stage)}
    with suppress(KeyError):  # how the ETL is spread over a machine changes nothing of what it writes
        for name in ("scheduler", "workers", "memory_limit", "device"):
            del sections["etl"][name]
    return {"metric": f"{metric.direction} {metric}", "space": space.written(), "config": sections}
