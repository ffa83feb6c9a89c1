"""Checkpoints: all that the next training steps depend on, so that a killed run continues exactly where it was.

They lie beside the artifact's folder, because that is deleted when a stage fails, and are found by the next run of the
same config on the same parents. Batches are not saved: they are drawn again from the random state at the epoch's start,
and those already taken are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ArtifactError
from ..config import TrainingConfig

STATE, BEST = "state.npz", "best.weights.h5"


@dataclass
class CheckpointState:
    """How far a training has come."""

    rng: Mapping[str, Any]
    """State of numpy's bit generator at the start of the epoch."""
    epoch: int = 1
    """The current epoch, from 1."""
    step: int = 0
    """Batches taken in this epoch."""
    total: Any = 0.0
    """Sum of their losses."""
    losses: list[float] = field(default_factory=list)
    """Mean training loss of each finished epoch."""
    score: float = np.nan
    """Validation score of the last finished epoch."""
    best: float = -np.inf
    """Best validation score so far."""
    best_epoch: int = 0
    """The epoch of that score; 0 if no epoch has had a score that is a number."""
    reached: float = -np.inf
    """The score to improve upon by ``min_delta``: the last one that did so."""
    reached_epoch: int = 0
    """The epoch of that score."""

    def done(self, config: TrainingConfig) -> bool:
        """Whether all epochs have run, or the score has not improved enough for ``config.patience`` epochs."""
        return self.epoch > config.epochs or self.epoch - 1 - self.reached_epoch >= config.patience

    def end_epoch(self, score: float, rng: Mapping[str, Any], min_delta: float = 0.0) -> bool:
        """Begin the next epoch with the random state ``rng``; True if the finished one is the best so far.

        Args:
            min_delta: see ``training.min_delta``.
        """
        self.losses.append(float(self.total) / self.step)
        self.score, better = score, score > self.best
        if better:
            self.best, self.best_epoch = score, self.epoch
        if score > self.reached + min_delta * (abs(self.reached) if self.reached_epoch else 0):
            self.reached, self.reached_epoch = score, self.epoch
        self.epoch, self.step, self.total, self.rng = self.epoch + 1, 0, 0.0, rng
        return better


class Checkpoints:
    """The last checkpoint of a training, and its best weights so far.

    Args:
        folder: where to keep them; None keeps nothing.
        minutes: time between checkpoints within an epoch; 0 saves only at the end of each epoch.
        variables: returns every variable that a step reads or writes, in a fixed order. Called after the first step.
        writes: False for workers other than the chief, which read the chief's checkpoint.
    """

    def __init__(
        self, folder: Path | None, minutes: float, variables: Callable[[], Sequence[Any]], writes: bool = True
    ) -> None:
        self.writes = writes and folder is not None
        self.folder, self.minutes, self.variables = folder, minutes, variables
        self.saved = time.monotonic()

    @property
    def due(self) -> bool:
        return bool(self.writes and self.minutes) and time.monotonic() - self.saved >= 60 * self.minutes

    def save(self, state: CheckpointState) -> None:
        """Replace the last checkpoint."""
        if self.folder is None or not self.writes:
            return
        state.total = float(state.total)

        def write(file: Path) -> None:
            with zipfile.ZipFile(file, "w") as archive:  # np.savez would hold all arrays in memory
                for name, value in self._arrays(state):
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                        np.save(stream, value, allow_pickle=False)

        replace(self.folder / STATE, write)
        self.saved = time.monotonic()

    def _arrays(self, state: CheckpointState) -> Iterator[tuple[str, NDArray[Any]]]:
        yield "progress", np.array(json.dumps(asdict(state)))
        for number, variable in enumerate(self.variables()):
            yield f"v{number}", variable.numpy()

    def keep_best(self, weights: Path) -> None:
        """Keep a copy of the best weights.

        They may be newer than the last checkpoint: a run that continues from that takes the same steps to them again.
        """
        if self.folder is not None and self.writes:
            replace(self.folder / BEST, lambda file: shutil.copyfile(weights, file))

    def load(self) -> CheckpointState | None:
        """The state at the last checkpoint, or None without one."""
        if self.folder is None or not (self.folder / STATE).is_file():
            return None
        with np.load(self.folder / STATE) as found:
            return CheckpointState(**json.loads(str(found["progress"])))

    def restore(self, weights: Path) -> None:
        """Assign every variable its value at the last checkpoint, and copy the best weights, if any, to ``weights``.

        Raises:
            ArtifactError: if the checkpoint is of another model.
        """
        assert self.folder is not None
        variables = self.variables()
        with np.load(self.folder / STATE) as found:
            if len(found.files) - 1 != len(variables):
                raise ArtifactError(self._mismatch(f"{len(found.files) - 1} variables, not {len(variables)}"))
            for number, variable in enumerate(variables):
                value = found[f"v{number}"]
                if not variable.shape.is_compatible_with(value.shape):
                    raise ArtifactError(self._mismatch(f"{variable.name} of shape {value.shape}, not {variable.shape}"))
                variable.assign(value)
        if self.writes and (self.folder / BEST).is_file():
            weights.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / BEST, weights)

    def _mismatch(self, what: str) -> str:
        return f"{self.folder}: a checkpoint of another model, it holds {what}; remove the folder to start over"


def replace(file: Path, write: Callable[[Path], Any]) -> None:
    """Replace ``file`` atomically: ``write`` gets a temporary path, which is renamed when it returns.

    If it fails, nothing is left of it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{os.getpid()}.{file.name}")
    try:
        write(temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
