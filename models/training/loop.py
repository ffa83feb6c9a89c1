"""The training loop: epochs, early stopping on a validation score, and the weights of the best epoch."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ...core.artifact import RESUME, path_beside
from ...core.disk import check_space
from ...core.errors import DivergedError
from ..config import TrainingConfig
from .checkpoints import Checkpoints, CheckpointState, replace
from .memory_estimate import check_memory
from .precision import mixed
from .prefetch import prefetch
from .progress import LOGS, TrainingProgress
from .step import TrainStep
from .weight_average import Average
from .worker_group import worker_group

log = logging.getLogger(__name__)
WEIGHTS = "model.weights.h5"
HDF5_BYTES = 4096
"""What HDF5 writes for each weight besides its numbers, at most."""
Batches = Callable[[np.random.Generator], Iterable[Mapping[str, Any]]]
"""Draws the batches of an epoch; the same batches from the same state of the generator."""
EPOCH_CALLBACK: ContextVar[Callable[[str, int, float], None] | None] = ContextVar("EPOCH_CALLBACK", default=None)
"""Called after each epoch with title, epoch (from 1) and validation score; an exception ends the training."""


@dataclass(frozen=True)
class Fit:
    """The outcome of a training."""

    epochs: int
    """Epochs run."""
    best_epoch: int
    """The epoch, from 1, whose weights the model has now."""
    score: float | None
    """Its validation score; None without validation."""
    losses: list[float]
    """Mean training loss of each epoch."""
    workers: int = 1
    """Processes that trained together."""

    def metrics(self, score_name: str) -> dict[str, Any]:
        """Metrics for the artifact's manifest; ``score_name`` names the validation score, for example ``ndcg``."""
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
    step: TrainStep,
    score: Callable[[str], float] | None,
    checkpoint: Path,
    ahead: int = 2,
    begin: Callable[[int], None] | None = None,
    create: Callable[[], Any] | None = None,
    score_name: str = "score",
) -> Fit:
    """Train ``model`` and leave it with the weights of its best epoch, which are also saved in ``checkpoint``.

    With several workers, all call this. Only the chief validates, writes files and ends with the best epoch's weights.

    If ``checkpoint`` lies in the folder of an artifact that is being made, a killed training resumes from its last
    checkpoint.

    Args:
        title: name of the training, shown by the progress bar.
        steps: batches of an epoch.
        batches: draws the batches of an epoch.
        step: takes one step on a batch and returns its loss.
        score: returns the validation score, higher is better. Its argument names the training and the epoch for error
            messages ("ranker, epoch 3"). Without it, the last epoch counts as the best.
        checkpoint: folder for the weights.
        ahead: batches to prefetch; 0 where ``batches`` reads what a step changes.
        begin: called before the first step of each epoch but the first, with the epoch's number.
        create: creates the model's weights. Without it the first step does, and is traced a second time.
        score_name: of the validation score, as progress shows it: ``NDCG``.

    Raises:
        ConfigError: if the training does not fit into the machine's memory.
        DivergedError: if the model's scores are NaN, or no epoch has a validation score that is a number.
    """
    check_memory(title, model, config)
    if config.average:
        step = dataclasses.replace(step, average=Average(model, config.average * steps))
    group = worker_group()
    rng = np.random.default_rng(config.seed)
    kept = checkpoints(model, config, step, checkpoint)
    with mixed(model, config.precision):
        if create:
            create()
            step.optimizer.keras.build(model.trainable_variables)
        at = resume(kept, step, batches, rng, checkpoint / WEIGHTS)
        logs = path_beside(checkpoint.parent, LOGS) or checkpoint.with_name("logs")
        with TrainingProgress(title, config, steps, at, logs, group.chief, score_name) as progress:
            while not at.done(config):
                if begin and at.epoch > 1 and at.step == 0:
                    begin(at.epoch)
                for batch in prefetch(islice(batches(rng), at.step, None), ahead):
                    loss = step(batch)
                    at.step, at.total = at.step + 1, at.total + loss
                    progress.step(loss, step.optimizer)
                    if kept.due:
                        kept.save(at)
                with step.shown():
                    valid = group.of_chief(partial(score, f"{title}, epoch {at.epoch}")) if score else float(at.epoch)
                    check_loss(at.total, f"{title}, epoch {at.epoch}")
                    better = at.end_epoch(valid, rng.bit_generator.state, config.min_delta if score else 0)
                    if better and group.chief:
                        save_weights(model, checkpoint)
                        kept.keep_best(checkpoint / WEIGHTS)
                progress.epoch(at, validated=score is not None)
                kept.save(at)
                if score and (report := EPOCH_CALLBACK.get()):
                    report(title, at.epoch - 1, at.score)
    if at.best_epoch == 0:
        raise DivergedError(f"{title}: the validation score is {at.score}; lower the learning rate")
    if group.chief:
        model.load_weights(str(checkpoint / WEIGHTS))
    return Fit(len(at.losses), at.best_epoch, at.best if score else None, at.losses, group.count)


def check_loss(total: Any, of: str) -> None:
    """Check that the losses of an epoch are numbers, for trainings without a validation part to notice.

    Raises:
        DivergedError: with the training and the epoch, ``of``.
    """
    if not np.isfinite(float(total)):
        raise DivergedError(
            f"{of}: the training loss is {float(total)}: the model has diverged; lower its learning rate"
        )


def checkpoints(model: Any, config: TrainingConfig, step: TrainStep, checkpoint: Path) -> Checkpoints:
    """The checkpoints of this training; kept only if its weights belong to an artifact that is being made."""
    folder = path_beside(checkpoint.parent, RESUME)
    own = folder / checkpoint.name if folder else None
    return Checkpoints(own, config.checkpoint_minutes, lambda: step.variables(model), writes=worker_group().chief)


def resume(
    kept: Checkpoints, step: TrainStep, batches: Batches, rng: np.random.Generator, weights: Path
) -> CheckpointState:
    """The state to begin with; variables and random generators are restored from the last checkpoint, if any."""
    at = kept.load()
    begins = (at.epoch, at.step, at.best_epoch) if at else None
    worker_group().agree("training", {"run folder": run_folder(weights.parent), "checkpoint": begins})
    if at is None:
        return CheckpointState(rng.bit_generator.state)
    rng.bit_generator.state = at.rng
    step(next(iter(batches(deepcopy(rng)))))  # creates the variables that `restore` assigns to
    kept.restore(weights)
    log.warning("%s: resuming in epoch %d after %d steps", kept.folder, at.epoch, at.step)
    return at


def run_folder(checkpoint: Path) -> str:
    """The name of the artifact's folder, a hash of config and parents; empty outside of an artifact."""
    folder = path_beside(checkpoint.parent, RESUME)
    return folder.name.removesuffix(RESUME) if folder else ""


def save_weights(model: Any, folder: Path) -> None:
    """Write the weights atomically.

    Raises:
        DiskError: there is no space for them. HDF5 ends a process that it cannot write for.
    """
    need = sum(int(np.prod(weight.shape)) * weight.dtype.size + HDF5_BYTES for weight in model.weights)
    check_space(folder / WEIGHTS, need)
    replace(folder / WEIGHTS, lambda file: model.save_weights(str(file)))


def shuffled(count: int, batch_size: int, rng: np.random.Generator) -> Iterable[np.ndarray[Any, Any]]:
    """Row numbers 0 .. count - 1 in random order, in full batches. The remainder is dropped, differently each epoch."""
    order = rng.permutation(count)
    size = min(batch_size, count)
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]


def prepare(seed: int) -> None:
    """Make a training reproducible: seed Python, numpy and TensorFlow, and use deterministic ops."""
    from .._merlin import tf
    from . import random_state

    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    random_state.seed(seed)
