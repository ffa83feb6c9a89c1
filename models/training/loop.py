"""The training loop of both models: epochs, early stopping on a validation score, the best epoch kept."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ...core.artifact import RESUME, beside
from ..config import TrainingConfig
from .checkpoints import Checkpoints, Progress, replace
from .memory_estimate import check_memory
from .precision import mixed
from .prefetch import ahead
from .progress import LOGS, Watch
from .step import Step
from .weight_average import Average
from .worker_group import team

log = logging.getLogger(__name__)
WEIGHTS = "model.weights.h5"
Batches = Callable[[np.random.Generator], Iterable[Mapping[str, Any]]]
WATCH: ContextVar[Callable[[str, int, float], None] | None] = ContextVar("WATCH", default=None)
"""Called after each epoch with title, epoch (from 1) and validation score; what it raises ends the training."""


@dataclass(frozen=True)
class Fit:
    """What a training came to."""

    epochs: int
    """Epochs run."""
    best_epoch: int
    """From 1; the epoch whose weights the model has now."""
    score: float | None
    """Validation score of that epoch; None without validation."""
    losses: list[float]
    """Mean training loss of each epoch."""
    workers: int = 1
    """Which trained together."""

    def metrics(self, score_name: str) -> dict[str, Any]:
        """For the manifest."""
        found: dict[str, Any] = {"epochs": self.epochs, "best_epoch": self.best_epoch, "loss": self.losses}
        found |= {"workers": self.workers}
        if self.score is None:
            return found | {"notices": [f"no validation part: trained for all {self.epochs} epochs"]}
        return found | {f"valid_{score_name}": self.score}


def fit(
    model: Any,
    config: TrainingConfig,
    title: str,
    steps: int,
    batches: Batches,
    step: Step,
    score: Callable[[], float] | None,
    checkpoint: Path,
    prefetch: int = 2,
    begin: Callable[[int], None] | None = None,
) -> Fit:
    """Train ``model`` and leave it with the weights of its best epoch, which are in ``checkpoint`` too.

    Of several workers, which all call this, the chief alone validates, writes, and gets the best epoch's weights.

    Below the folder of an artifact that is being made, a training that was killed goes on from its last checkpoint.

    Args:
        title: what the progress bar shows.
        steps: batches of an epoch.
        batches: gives an epoch's batches from a random generator; the same from the same state of it.
        step: takes one step on a batch and returns its loss.
        score: the validation score, higher is better; without it every epoch is better than the one before.
        checkpoint: folder for the weights.
        prefetch: batches made ahead by a second thread; 0 where ``batches`` reads what a step changes.
        begin: called with the number of each epoch from the second on, before its first step.

    Raises:
        ConfigError: if it does not fit into the machine's memory.
        FloatingPointError: if no epoch has a validation score that is a number.
    """
    check_memory(title, model, config)
    if config.average:
        step = dataclasses.replace(step, average=Average(model, config.average * steps))
    own = team()
    rng = np.random.default_rng(config.seed)
    kept = checkpoints(model, config, step, checkpoint)
    with mixed(model, config.precision):
        at = resume(kept, step, batches, rng, checkpoint / WEIGHTS)
        logs = beside(checkpoint.parent, LOGS) or checkpoint.with_name("logs")
        with Watch(title, config, steps, at, logs, shown=own.chief) as watch:
            while not at.done(config):
                if begin and at.epoch > 1 and at.step == 0:
                    begin(at.epoch)
                for batch in ahead(islice(batches(rng), at.step, None), prefetch):
                    loss = step(batch)
                    at.step, at.total = at.step + 1, at.total + loss
                    watch.step(loss, step.optimizer)
                    if kept.due:
                        kept.save(at)
                with step.shown():
                    valid = own.of_chief(score) if score else float(at.epoch)
                    better = at.end_epoch(valid, rng.bit_generator.state)
                    if better and own.chief:
                        save_weights(model, checkpoint)
                        kept.keep_best(checkpoint / WEIGHTS)
                watch.epoch(at, validated=score is not None)
                kept.save(at)
                if score and (report := WATCH.get()):
                    report(title, at.epoch - 1, at.score)
    if at.best_epoch == 0:
        raise FloatingPointError(f"{title}: the validation score is {at.score}; lower the learning rate")
    if own.chief:
        model.load_weights(str(checkpoint / WEIGHTS))
    return Fit(len(at.losses), at.best_epoch, at.best if score else None, at.losses, own.count)


def checkpoints(model: Any, config: TrainingConfig, step: Step, checkpoint: Path) -> Checkpoints:
    """Those of this training: none unless its weights go to an artifact that is being made."""
    folder = beside(checkpoint.parent, RESUME)
    own = folder / checkpoint.name if folder else None
    return Checkpoints(own, config.checkpoint_minutes, lambda: step.variables(model), writes=team().chief)


def resume(kept: Checkpoints, step: Step, batches: Batches, rng: np.random.Generator, weights: Path) -> Progress:
    """Where to begin, with everything as it was at the last checkpoint if there is one."""
    at = kept.load()
    begins = (at.epoch, at.step, at.best_epoch) if at else None
    team().agree("training", {"run folder": run_folder(weights.parent), "checkpoint": begins})
    if at is None:
        return Progress(rng.bit_generator.state)
    rng.bit_generator.state = at.rng
    step(next(iter(batches(deepcopy(rng)))))  # makes the variables, which then get their values
    kept.restore(weights)
    log.warning("%s: going on in epoch %d after %d steps", kept.folder, at.epoch, at.step)
    return at


def run_folder(checkpoint: Path) -> str:
    """The name of the artifact's folder, a hash of all that it is made from; nothing if there is none."""
    folder = beside(checkpoint.parent, RESUME)
    return folder.name.removesuffix(RESUME) if folder else ""


def save_weights(model: Any, folder: Path) -> None:
    """Write the weights so that they are never half written."""
    replace(folder / WEIGHTS, lambda file: model.save_weights(str(file)))


def shuffled(count: int, batch_size: int, rng: np.random.Generator) -> Iterable[np.ndarray[Any, Any]]:
    """Row numbers 0 .. count - 1 in random order, in full batches; what is over is left to the next epochs."""
    order = rng.permutation(count)
    size = min(batch_size, count)
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]


def prepare(seed: int) -> None:
    """Same seed, same result: seeds Python, numpy and TensorFlow, and takes ops that add up in a fixed order."""
    from .._merlin import tf
    from . import random_state

    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    random_state.seed(seed)
