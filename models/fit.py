"""The training loop of both models: epochs, early stopping on a validation score, the best epoch kept."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .config import TrainingConfig

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

    def metrics(self, score_name: str) -> dict[str, Any]:
        """For the manifest."""
        found: dict[str, Any] = {"epochs": self.epochs, "best_epoch": self.best_epoch, "loss": self.losses}
        if self.score is None:
            return found | {"notices": [f"no validation part: trained for all {self.epochs} epochs"]}
        return found | {f"valid_{score_name}": self.score}


def fit(
    model: Any,
    config: TrainingConfig,
    title: str,
    steps: int,
    batches: Batches,
    step: Callable[[Mapping[str, Any]], Any],
    score: Callable[[], float] | None,
    checkpoint: Path,
) -> Fit:
    """Train ``model`` and leave it with the weights of its best epoch, which are in ``checkpoint`` too.

    Args:
        title: what the progress bar shows.
        steps: batches of an epoch.
        batches: gives an epoch's batches from a random generator.
        step: takes one step on a batch and returns its loss.
        score: the validation score, higher is better; without it every epoch is better than the one before.
        checkpoint: folder for the weights.
    """
    from tqdm import tqdm

    rng = np.random.default_rng(config.seed)
    best, best_epoch, losses = -np.inf, 0, list[float]()
    with tqdm(total=config.epochs * steps, desc=title, unit="step", disable=None) as bar:
        for epoch in range(1, config.epochs + 1):
            total: Any = 0.0
            for batch in batches(rng):
                total += step(batch)
                bar.update()
            losses.append(float(total) / steps)
            now = score() if score else float(epoch)
            if score and (watch := WATCH.get()):
                watch(title, epoch, now)
            bar.set_postfix_str(f"epoch {epoch}, loss {losses[-1]:.4f}" + (f", valid {now:.4f}" if score else ""))
            if now > best:
                best, best_epoch = now, epoch
                save_weights(model, checkpoint)
            elif epoch - best_epoch >= config.patience:
                break
    if best_epoch == 0:
        raise FloatingPointError(f"{title}: the validation score is {now}; lower the learning rate")
    model.load_weights(str(checkpoint / WEIGHTS))
    return Fit(len(losses), best_epoch, best if score else None, losses)


def save_weights(model: Any, folder: Path) -> None:
    """Write the weights aside and rename, so that a checkpoint is never half written."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{os.getpid()}.weights.h5"
    model.save_weights(str(aside))
    aside.replace(folder / WEIGHTS)


def shuffled(count: int, batch_size: int, rng: np.random.Generator) -> Iterable[np.ndarray[Any, Any]]:
    """Row numbers 0 .. count - 1 in random order, in full batches; what is over is left to the next epochs."""
    order = rng.permutation(count)
    size = min(batch_size, count)
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]


def prepare(seed: int) -> None:
    """Same seed, same result: seeds Python, numpy and TensorFlow, and takes ops that add up in a fixed order."""
    from .backend import tf

    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
