"""The pipeline's stages in order: what would run and why, and running what is missing."""

from __future__ import annotations

import difflib
import importlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..cards.model_card import write_card
from ..config.pipeline import PipelineConfig
from ..core.artifact import Artifact
from ..core.errors import ConfigError
from ..core.files import locked
from ..core.stage import Sections, Stage
from ..models.training.worker_group import worker_group
from .run_record import RunRecord, changes
from .worker import (
    DONE,
    TRAIN,
    follow,
    say,
)

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
"""Name -> module and object; imported when first needed, parents before children."""
LOCKS = ".locks"
"""Folder below ``runs``, a file for each run folder that a process is making."""


@dataclass(frozen=True)
class PlanRow:
    """What `cascade run` would do with one stage."""

    stage: str
    up_to_date: bool
    why: str
    """Empty if up to date."""
    folder: Path | None
    """Its run folder; None while a parent has to run first."""


@dataclass(frozen=True)
class Progress:
    """What happened to one stage; ``artifact`` is None when it is about to run."""

    stage: Stage
    artifact: Artifact | None
    seconds: float | None
    """None: it was up to date, or it is about to run."""


def all_stages() -> tuple[Stage, ...]:
    """Every stage, parents before children."""
    found = []
    for place in STAGES.values():
        module, _, name = place.partition(":")
        found.append(getattr(importlib.import_module(module, __package__), name))
    return tuple(found)


def plan(config: PipelineConfig, runs: Path, stages: Sequence[Stage] | None = None) -> list[PlanRow]:
    """What `run` would do, stage by stage; a stage whose parent would run would run too."""
    rows: list[PlanRow] = []
    done: dict[str, Artifact] = {}
    for stage in all_stages() if stages is None else stages:
        sections = _sections(config, stage)
        waiting = [name for name in stage.parents if name not in done]
        pins = {name: done[name].digest for name in stage.parents if name in done}
        artifact = None if waiting else stage.find(runs, sections, pins)
        if artifact is not None:
            done[stage.name] = artifact
        why = "" if artifact else _why(stage, runs, sections, pins, waiting)
        folder = None if waiting else stage.folder(runs, sections, pins)
        rows.append(PlanRow(stage.name, artifact is not None, why, folder))
    return rows


def run(
    config: PipelineConfig,
    runs: Path,
    only: Sequence[str] | None = None,
    force: bool = False,
    stages: Sequence[Stage] | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Artifact]:
    """Run what is missing, in order, and publish each artifact.

    Of several workers, all of which call this, the chief does so, and the others take part in the trainings.

    Args:
        only: these stages and what they need; all by default.
        force: run the stages of ``only`` (or all) although they are up to date.

    Returns:
        Stage name -> its artifact.
    """
    stages = all_stages() if stages is None else stages
    wanted = list(only) if only else [stage.name for stage in stages]
    needed = with_parents(stages, wanted)
    if not worker_group().chief:
        return follow(config, runs, [stage for stage in stages if stage.name in needed])
    done: dict[str, Artifact] = {}
    for stage in (s for s in stages if s.name in needed):
        sections = _sections(config, stage)
        parents = {name: done[name] for name in stage.parents}
        pins = {name: parent.digest for name, parent in parents.items()}
        found = stage.find(runs, sections, pins)
        start = None
        if found is None or (force and stage.name in wanted):
            report(Progress(stage, None, None))
            start = time.perf_counter()
            found = _run_one(stage, runs, config, done, stages, again=found is not None)
        if stage.publish is not None:
            stage.publish(found, sections)
        say(DONE)
        report(Progress(stage, found, None if start is None else time.perf_counter() - start))
        done[stage.name] = found
    return done


def find(config: PipelineConfig, runs: Path, name: str, stages: Sequence[Stage] | None = None) -> Artifact:
    """The finished artifact of one stage.

    Raises:
        ConfigError: if it or one of its parents has to run first.
    """
    stages = all_stages() if stages is None else stages
    with_parents(stages, [name])
    row = next(r for r in plan(config, runs, stages) if r.stage == name)
    if not row.up_to_date or row.folder is None:
        raise ConfigError(f"stage {name} is not up to date ({row.why}): run `cascade run --only {name}` first")
    return Artifact.load(row.folder, name)


def _run_one(
    stage: Stage,
    runs: Path,
    config: PipelineConfig,
    done: Mapping[str, Artifact],
    stages: Sequence[Stage],
    again: bool,
) -> Artifact:
    """Run a stage, unless another process that has begun to do so finishes it; ``again``: in any case."""
    sections, parents = _sections(config, stage), {name: done[name] for name in stage.parents}
    pins = {name: parent.digest for name, parent in parents.items()}
    with locked(runs / LOCKS / f"{stage.name}-{stage.key(sections, pins)}"):
        if not again and (made := stage.find(runs, sections, pins)):
            return made
        if stage.take_part is not None:
            say(TRAIN)
        artifact = stage.run(runs, sections, parents, lambda aside: _describe(aside, stage, config, done, stages))
        RunRecord.of(stage, sections, artifact).save(artifact.path)
        return artifact


def _describe(
    artifact: Artifact, stage: Stage, config: PipelineConfig, done: Mapping[str, Artifact], stages: Sequence[Stage]
) -> None:
    """The model card, from everything that the artifact is made from."""
    above = with_parents(stages, stage.parents)
    lineage = [one for one in stages if one.name in above]
    keys = dict.fromkeys(key for one in [*lineage, stage] for key in one.sections)
    sections = {key: config.section(key) for key in keys}
    write_card(artifact, stage.version, {one.name: done[one.name] for one in lineage}, sections)


def _sections(config: PipelineConfig, stage: Stage) -> Sections:
    return {key: config.section(key) for key in stage.sections}


def _why(stage: Stage, runs: Path, sections: Sections, pins: Mapping[str, str], waiting: Sequence[str]) -> str:
    """Why a stage has to run: what differs from its newest run, and which parents run first."""
    reasons = [f"{', '.join(waiting)} would run first"] if waiting else []
    newest = RunRecord.newest(runs / stage.name)
    if newest is None:
        return "; ".join(["not run before", *reasons])
    return "; ".join([*changes(newest, stage, sections, pins), *reasons]) or "its run folder is gone"


def with_parents(stages: Sequence[Stage], wanted: Iterable[str]) -> set[str]:
    """``wanted`` and everything that they are made from.

    Raises:
        ConfigError: there is no such stage.
    """
    known = {stage.name: stage for stage in stages}
    needed: set[str] = set()
    queue = list(wanted)
    while queue:
        name = queue.pop()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise ConfigError(f"stage {name}: no such stage; {hint}")
        if name not in needed:
            needed.add(name)
            queue += known[name].parents
    return needed
