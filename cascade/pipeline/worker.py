"""A worker that is not the chief: it goes through the same stages, takes part in each training, and writes nothing.

The chief runs the stages and broadcasts what it does, so a worker waits for as long as the chief works alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..config.pipeline import PipelineConfig
from ..core.artifact import Artifact
from ..core.errors import WorkerError
from ..core.stage import Sections, Stage
from ..models.training.worker_group import worker_group

TRAIN, DONE = 1, 2
"""Messages of the chief: it begins to train the stage's model; the stage's artifact is finished."""
VISIBLE_S = 10.0
"""How long a new folder may take to become visible on a shared file system, seconds."""


def tell_workers(message: int) -> None:
    """Broadcast a message of the chief, ``TRAIN`` or ``DONE``. Without other workers nothing happens."""
    worker_group().of_chief(lambda: float(message))


def wait_for_chief() -> int:
    """The chief's next message, ``TRAIN`` or ``DONE``."""
    return int(worker_group().of_chief(float))


def run_as_worker(config: PipelineConfig, runs: Path, stages: Sequence[Stage]) -> dict[str, Artifact]:
    """Take part in the trainings of ``stages`` that the chief runs.

    Returns:
        Stage name -> the artifact that the chief has written.

    Raises:
        WorkerError: this worker does not see an artifact of the chief.
    """
    done: dict[str, Artifact] = {}
    for stage in stages:
        sections = {key: config.section(key) for key in stage.sections}
        parents = {name: done[name] for name in stage.parents}
        while wait_for_chief() == TRAIN:
            stage.join(runs, sections, parents)
        digests = {name: parent.digest for name, parent in parents.items()}
        done[stage.name] = _artifact_of_chief(stage, runs, sections, digests)
    return done


def _artifact_of_chief(stage: Stage, runs: Path, sections: Sections, parents: Mapping[str, str]) -> Artifact:
    """The stage's artifact, as soon as it is visible to this worker."""
    until = time.monotonic() + VISIBLE_S
    while (found := stage.find(runs, sections, parents)) is None:
        if time.monotonic() > until:
            raise WorkerError(
                f"{stage.name}: the chief's artifact is not in {stage.folder(runs, sections, parents)}: all workers "
                "need the same config and the same folder for --runs"
            )
        time.sleep(0.2)
    return found
