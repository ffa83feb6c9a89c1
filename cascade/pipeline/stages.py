"""The stages of the pipeline in order: which would run and why, and running them."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..cards.model_card import write_card
from ..config.pipeline import PipelineConfig
from ..core.artifact import Artifact, remove_unfinished
from ..core.disk import disk_errors
from ..core.errors import ConfigError, FeatureStoreError
from ..core.files import locked
from ..core.memory import check_need, give_back, limited_to
from ..core.stage import Sections, Stage
from ..core.suggest import nearest
from ..ensemble.config import pipeline_name
from ..models.training.worker_group import worker_group
from ..rollout.releases.keep import keep, not_kept
from ..rollout.releases.live_readers import live_readers
from ..workflows.etl.dask_cluster import given_limit
from ..workflows.features.store import publish
from .last_run import last_record, newest, note, noted
from .leftovers import lock_file, remove_leftovers, running
from .run_record import RunRecord, changes
from .worker import DONE, TRAIN, run_as_worker, tell_workers

STAGES = {
    "data": "..workflows.data.stage:DATA",
    "etl": "..workflows.etl.stage:ETL",
    "features": "..workflows.features.stage:FEATURES",
    "two_tower": "..models.retriever.stage:TWO_TOWER",
    "index": "..models.index.stage:INDEX",
    "ranker": "..models.ranker.stage:RANKER",
    "export": "..ensemble.repository.stage:EXPORT",
    "evaluation": "..evaluation.stage:EVALUATION",
}
"""Name -> module and object, parents before children. A module is imported when it is first needed."""
TABLES = ("data", "etl")
"""The stages whose artifacts the checks of the others read."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlanRow:
    """What `cascade run` would do with one stage."""

    stage: str
    up_to_date: bool
    why: str
    """The reason to run; empty if up to date."""
    folder: Path | None
    """Its run folder; None if it is unknown because a parent has to run first."""
    publish: str = ""
    """If up to date: why its artifact would be published again; see `with_publications`."""


@dataclass(frozen=True)
class Progress:
    """The beginning or the end of one stage."""

    stage: Stage
    artifact: Artifact | None
    """None at the beginning."""
    seconds: float | None
    """How long it ran; None at the beginning, and if it was up to date."""
    why: str = ""
    """At the beginning: what has changed since the pipeline's last run of it."""


def all_stages() -> tuple[Stage, ...]:
    """Every stage, parents before children."""
    found = []
    for place in STAGES.values():
        module, _, name = place.partition(":")
        found.append(getattr(importlib.import_module(module, __package__), name))
    return tuple(found)


def plan(config: PipelineConfig, runs: Path, stages: Sequence[Stage] | None = None) -> list[PlanRow]:
    """What `run` would do, stage by stage. A stage would run if one of its parents would.

    Args:
        stages: the pipeline; `all_stages` by default.
    """
    rows: list[PlanRow] = []
    done: dict[str, Artifact] = {}
    for stage in all_stages() if stages is None else stages:
        sections = _sections(config, stage)
        waiting = [name for name in stage.parents if name not in done]
        digests = {name: done[name].digest for name in stage.parents if name in done}
        artifact = None if waiting else stage.find(runs, sections, digests)
        if artifact is not None:
            done[stage.name] = artifact
        why = "" if artifact else _why(stage, runs, _name(config), sections, digests, waiting)
        folder = None if waiting else stage.folder(runs, sections, digests)
        rows.append(PlanRow(stage.name, artifact is not None, why, folder))
    return rows


def with_publications(rows: Sequence[PlanRow], config: PipelineConfig) -> list[PlanRow]:
    """The rows of `plan`; those of artifacts that are not what is published say so.

    Raises:
        ConfigError: what is published belongs to another pipeline.
    """
    stages = {stage.name: stage for stage in all_stages()}
    return [replace(row, publish=_unpublished(stages[row.stage], row, config)) for row in rows]


def _unpublished(stage: Stage, row: PlanRow, config: PipelineConfig) -> str:
    if stage.unpublished is None or row.folder is None or not row.up_to_date:
        return ""
    artifact = Artifact.load(row.folder, stage.name)
    found = [*stage.unpublished(artifact, _sections(config, stage))]
    return "; ".join([*found, *(not_kept(artifact, config.export) if stage.name == "export" else [])])


def check_inputs(config: PipelineConfig, names: Iterable[str] = STAGES) -> None:
    """Raise what the stages of these names would refuse before they read a row.

    Raises:
        ConfigError: a key names a folder, a table or a column that is not there.
        DataError: a table or its id is missing, or a file cannot be opened.
    """
    for stage in all_stages():
        if stage.check_inputs is not None and stage.name in names:
            stage.check_inputs(_sections(config, stage))


def run(
    config: PipelineConfig,
    runs: Path,
    only: Sequence[str] | None = None,
    force: bool = False,
    stages: Sequence[Stage] | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Artifact]:
    """Run every stage that is not up to date, in order, and publish each artifact.

    If several workers train together, all of them call this: the chief runs the stages, and the others take part in
    the trainings.

    Args:
        only: run these stages and those that they need; all by default.
        force: run the stages of ``only``, or all, even if they are up to date.
        stages: the pipeline; `all_stages` by default.
        report: called when a stage begins and when it ends; once for a stage that is up to date.

    Returns:
        Stage name -> its artifact.

    Raises:
        ConfigError: there is no such stage, one of them needs more memory than there is, or a key of a later one
            cannot work; the latter is found before anything is trained.
        DiskError: a disk is full; nothing half-written is left.
    """
    stages = all_stages() if stages is None else stages
    wanted = list(only) if only else [stage.name for stage in stages]
    needed = with_parents(stages, wanted)
    if not worker_group().chief:
        return run_as_worker(config, runs, [stage for stage in stages if stage.name in needed])
    with running(runs):
        remove_leftovers(runs)
        return _run_chief(config, runs, stages, wanted, needed, force, report)


def _run_chief(
    config: PipelineConfig,
    runs: Path,
    stages: Sequence[Stage],
    wanted: Sequence[str],
    needed: set[str],
    force: bool,
    report: Callable[[Progress], None],
) -> dict[str, Artifact]:
    """`run` for the process that runs the stages."""
    done: dict[str, Artifact] = {}
    unchecked = [stage for stage in stages if stage.name in needed and stage.check is not None]
    for stage in (s for s in stages if s.name in needed):
        sections = _sections(config, stage)
        parents = {name: done[name] for name in stage.parents}
        digests = {name: parent.digest for name, parent in parents.items()}
        found = stage.find(runs, sections, digests)
        start = None
        if found is None or (force and stage.name in wanted):
            why = [] if found else _changes(stage, runs, _name(config), sections, digests)
            report(Progress(stage, None, None, "; ".join(why or [])))
            if done.keys() >= {*TABLES}:
                unchecked = _checked(unchecked, config, done)
            start = time.perf_counter()
            with disk_errors(f"stage {stage.name}", runs):
                found = _run_one(stage, runs, config, done, stages, again=found is not None)
        with disk_errors(f"stage {stage.name}", runs):
            note(runs, _name(config), stage.name, found.path.name)
        _publish(stage, found, config, needed=start is not None or stage.name in wanted)
        if stage.name == "export" and stage.publish is not None:
            keep(found, config.export, config.rollout)
        tell_workers(DONE)
        report(Progress(stage, found, None if start is None else time.perf_counter() - start))
        done[stage.name] = found
    return done


def _checked(stages: Sequence[Stage], config: PipelineConfig, done: Mapping[str, Artifact]) -> list[Stage]:
    """Check the ``stages`` that are still to come; returns what is left to check, which is none of them."""
    for stage in stages:
        if stage.name not in done and stage.check is not None:
            stage.check(_sections(config, stage), done)
    return []


def _publish(stage: Stage, artifact: Artifact, config: PipelineConfig, needed: bool) -> None:
    """Publish an artifact; features so that the live releases go on reading what they read.

    If only other stages needed it, a store that cannot be reached is no error: stages read artifacts, not the store.
    """
    if stage.publish is None:
        return
    from ..workflows.features.stage import FEATURES

    try:
        if stage.publish is FEATURES.publish:
            publish(config.feature_store, artifact, live_readers(config.export, config.feature_store))
        else:
            stage.publish(artifact, _sections(config, stage))
    except FeatureStoreError as error:
        if needed:
            raise
        log.warning("stage %s is not published: %s", stage.name, error)


def find(config: PipelineConfig, runs: Path, name: str, stages: Sequence[Stage] | None = None) -> Artifact:
    """The finished artifact of one stage.

    Raises:
        ConfigError: it or one of its parents has to run first, or there is no such stage.
    """
    stages = all_stages() if stages is None else stages
    with_parents(stages, [name])
    row = next(r for r in plan(config, runs, stages) if r.stage == name)
    if not row.up_to_date or row.folder is None:
        made = noted(runs, _name(config)).get(name)
        last = runs / name / made if made else None
        shown = f"; `cascade show {last}` shows the one that was made last" if last and last.is_dir() else ""
        advice = "run `cascade run` first, which makes all"
        raise ConfigError(f"stage {name} is not up to date ({row.why}): {advice}{shown}")
    return Artifact.load(row.folder, name)


def _run_one(
    stage: Stage,
    runs: Path,
    config: PipelineConfig,
    done: Mapping[str, Artifact],
    stages: Sequence[Stage],
    again: bool,
) -> Artifact:
    """Run a stage, or take the artifact of another process that was running it at the same time.

    Args:
        again: run it in any case.
    """
    sections, parents = _sections(config, stage), {name: done[name] for name in stage.parents}
    digests = {name: parent.digest for name, parent in parents.items()}
    with locked(lock_file(runs, stage.name, stage.key(sections, digests))):
        if not again and (made := stage.find(runs, sections, digests)):
            return made
        with limited_to(given_limit(config.etl)):
            if stage.memory is not None:
                check_need(stage.name, stage.memory(sections, parents))
            if stage.take_part is not None:
                tell_workers(TRAIN)
            remove_unfinished(stage.folder(runs, sections, digests))
            artifact = stage.run(
                runs, sections, parents, lambda unfinished: _describe(unfinished, stage, config, done, stages)
            )
        RunRecord.of(stage, sections, artifact).save(artifact.path)
        give_back()
        return artifact


def _describe(
    artifact: Artifact, stage: Stage, config: PipelineConfig, done: Mapping[str, Artifact], stages: Sequence[Stage]
) -> None:
    """Write the model card, from the artifacts and sections that the artifact depends on."""
    ancestors = with_parents(stages, stage.parents)
    lineage = [ancestor for ancestor in stages if ancestor.name in ancestors]
    keys = dict.fromkeys(key for each in [*lineage, stage] for key in each.sections)
    sections = {key: config.section(key) for key in keys}
    write_card(artifact, stage.version, {each.name: done[each.name] for each in lineage}, sections)


def _sections(config: PipelineConfig, stage: Stage) -> Sections:
    return {key: config.section(key) for key in stage.sections}


def _name(config: PipelineConfig) -> str:
    return pipeline_name(config.feature_store, config.export)


def _why(
    stage: Stage,
    runs: Path,
    pipeline: str,
    sections: Sections,
    parents: Mapping[str, str],
    waiting: Sequence[str],
) -> str:
    """Why a stage has to run: the changes since the pipeline's last run of it, and the parents that run first."""
    reasons = [f"{', '.join(waiting)} would run first"] if waiting else []
    changed = _changes(stage, runs, pipeline, sections, parents)
    if changed is None:
        other = None if noted(runs, pipeline) else newest(runs)
        first = f"no run of {pipeline} yet, the newest run in {runs} is of {other}" if other else "not run before"
        return "; ".join([first, *reasons])
    return "; ".join([*changed, *reasons]) or "its run folder is gone, or files in it are"


def _changes(
    stage: Stage, runs: Path, pipeline: str, sections: Sections, parents: Mapping[str, str]
) -> list[str] | None:
    """What has changed since the pipeline's last run of the stage; None if there was none."""
    last = last_record(runs, pipeline, stage.name)
    return None if last is None else changes(last, stage, sections, parents)


def with_parents(stages: Sequence[Stage], wanted: Iterable[str]) -> set[str]:
    """``wanted`` and all stages that they depend on.

    Raises:
        ConfigError: there is no such stage.
    """
    known = {stage.name: stage for stage in stages}
    needed: set[str] = set()
    queue = list(wanted)
    while queue:
        name = queue.pop()
        if name not in known:
            raise ConfigError(f"stage {name}: no such stage; {nearest(name, list(known))}")
        if name not in needed:
            needed.add(name)
            queue += known[name].parents
    return needed
