"""Checkpoints of a training: where it is and all that its next steps depend on, so that a killed run goes on exactly.

They lie beside the artifact's folder, which is thrown away when a stage fails, and are found by the next run of the
same config on the same parents. Batches are drawn again from the random state that the epoch began with, and those that
were taken are skipped.
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
class Progress:
    """Where a training is."""

    rng: Mapping[str, Any]
    """State of numpy's bit generator when the epoch began."""
    epoch: int = 1
    """From 1; the one that it is in."""
    step: int = 0
    """Batches taken of this epoch."""
    total: Any = 0.0
    """Their losses, added up."""
    losses: list[float] = field(default_factory=list)
    """Mean training loss of each epoch that has ended."""
    score: float = np.nan
    """Of the last of them."""
    best: float = -np.inf
    best_epoch: int = 0
    """0: none has ended with a score that is a number."""

    def done(self, config: TrainingConfig) -> bool:
        return self.epoch > config.epochs or self.epoch - 1 - self.best_epoch >= config.patience

    def end_epoch(self, score: float, rng: Mapping[str, Any]) -> bool:
        """Go on to the next epoch, which begins with ``rng``; whether this one is the best so far."""
        self.losses.append(float(self.total) / self.step)
        self.score, better = score, score > self.best
        if better:
            self.best, self.best_epoch = score, self.epoch
        self.epoch, self.step, self.total, self.rng = self.epoch + 1, 0, 0.0, rng
        return better


class Checkpoints:
    """The last checkpoint of one training, and the best weights so far.

    Args:
        folder: where they are; None keeps nothing.
        minutes: between checkpoints within an epoch; 0 makes none there.
        variables: gives every variable that a step reads or writes, in a fixed order, once a step was taken.
        writes: of several workers one alone does, and all go on from what it wrote.
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

    def save(self, progress: Progress) -> None:
        """Replace the last checkpoint by one of this moment."""
        if self.folder is None or not self.writes:
            return
        progress.total = float(progress.total)

        def write(file: Path) -> None:
            with zipfile.ZipFile(file, "w") as archive:  # np.savez would hold all arrays at once
                for name, value in self._arrays(progress):
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                        np.save(stream, value, allow_pickle=False)

        replace(self.folder / STATE, write)
        self.saved = time.monotonic()

    def _arrays(self, progress: Progress) -> Iterator[tuple[str, NDArray[Any]]]:
        yield "progress", np.array(json.dumps(asdict(progress)))
        for at, variable in enumerate(self.variables()):
            yield f"v{at}", variable.numpy()

    def keep_best(self, weights: Path) -> None:
        """Keep a copy of the best weights so far.

        One that is newer than the last checkpoint does no harm: the steps since then, taken again, lead to it again.
        """
        if self.folder is not None and self.writes:
            replace(self.folder / BEST, lambda file: shutil.copyfile(weights, file))

    def load(self) -> Progress | None:
        """Where the training was at the last checkpoint, or None."""
        if self.folder is None or not (self.folder / STATE).is_file():
            return None
        with np.load(self.folder / STATE) as found:
            return Progress(**json.loads(str(found["progress"])))

    def restore(self, weights: Path) -> None:
        """Give every variable its value at the last checkpoint, and ``weights`` the best weights if there are any.

        Raises:
            ArtifactError: if the checkpoint is of another model.
        """
        assert self.folder is not None
        variables = self.variables()
        with np.load(self.folder / STATE) as found:
            if len(found.files) - 1 != len(variables):
                raise ArtifactError(self._strange(f"{len(found.files) - 1} variables, not {len(variables)}"))
            for at, variable in enumerate(variables):
                value = found[f"v{at}"]
                if not variable.shape.is_compatible_with(value.shape):
                    raise ArtifactError(self._strange(f"{variable.name} of shape {value.shape}, not {variable.shape}"))
                variable.assign(value)
        if self.writes and (self.folder / BEST).is_file():
            weights.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / BEST, weights)

    def _strange(self, what: str) -> str:
        return f"{self.folder}: a checkpoint of another model, it holds {what}; remove the folder to begin anew"


def replace(file: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` write aside, and rename, so that ``file`` is never half written."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{os.getpid()}.{file.name}")
    write(aside)
    aside.replace(file)
