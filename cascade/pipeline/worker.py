"""What a worker does that is not the chief: the same stages, training where the chief trains, and writing nothing.

The chief says what happens, by a number that all workers sum up, so a worker waits for as long as the chief works.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..config.pipeline import PipelineConfig
from ..core.artifact import Artifact
from ..core.errors import WorkerError
from ..core.stage import Sections, Stage
from ..models.training.worker_group import team

TRAIN, DONE = 1, 2
"""The chief trains; it is done with a stage."""
VISIBLE_S = 10.0
"""How long a folder on a shared file system may take to be seen."""


def say(word: int) -> None:
    """The chief's word to the others."""
    team().of_chief(lambda: float(word))


def hear() -> int:
    """Wait for the chief's word."""
    return int(team().of_chief(float))


def follow(config: PipelineConfig, runs: Path, stages: Sequence[Stage]) -> dict[str, Artifact]:
    """Take part in what the chief runs of ``stages``.

    Returns:
        Stage name -> its artifact.

    Raises:
        WorkerError: if an artifact that the chief has is not there.
    """
    done: dict[str, Artifact] = {}
    for stage in stages:
        sections = {key: config.section(key) for key in stage.sections}
        parents = {name: done[name] for name in stage.parents}
        while hear() == TRAIN:
            stage.join(runs, sections, parents)
        pins = {name: parent.digest for name, parent in parents.items()}
        done[stage.name] = _seen(stage, runs, sections, pins)
    return done


def _seen(stage: Stage, runs: Path, sections: Sections, pins: Mapping[str, str]) -> Artifact:
    """The artifact that the chief has, once it is there."""
    until = time.monotonic() + VISIBLE_S
    while (found := stage.find(runs, sections, pins)) is None:
        if time.monotonic() > until:
            raise WorkerError(
                f"{stage.name}: the chief's artifact is not in {stage.folder(runs, sections, pins)}: all workers need "
                "the same config, and one folder for --runs that they share"
            )
        time.sleep(0.2)
    return found
