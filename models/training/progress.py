"""What a training shows while it runs: a progress bar, and curves for TensorBoard."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ..config import TrainingConfig
from .checkpoints import Progress
from .tensorboard import TrainingLog

LOGS = ".logs"
"""Suffix of the folder beside a run folder where the curves are."""
EVERY = 100
"""Steps between two points of a curve."""


class Watch:
    """A bar with rows a second and the time that is left; curves of loss, learning rate, rows a second, valid score.

    Args:
        steps: batches of an epoch.
        at: where the training begins.
        logs: where the curves go if ``config.tensorboard``.
        shown: else it keeps quiet.
    """

    def __init__(
        self, title: str, config: TrainingConfig, steps: int, at: Progress, logs: Path, shown: bool = True
    ) -> None:
        from tqdm import tqdm

        self.rows, self.steps = config.batch_size, (at.epoch - 1) * steps + at.step
        total, begun = config.epochs * steps * self.rows, self.steps * self.rows
        self.bar = tqdm(
            total=total, initial=begun, desc=title, unit="rows", unit_scale=True, disable=None if shown else True
        )
        self.log = TrainingLog(logs / title) if config.tensorboard and shown else None
        self.since = time.perf_counter()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def step(self, loss: Any, optimizer: Any) -> None:
        """A step was taken."""
        self.steps += 1
        self.bar.update(self.rows)
        if self.log is not None and self.steps % EVERY == 0:
            now = time.perf_counter()
            rate, self.since = EVERY * self.rows / (now - self.since), now
            self.log(self.steps, loss=loss, learning_rate=optimizer.learning_rate, rows_per_s=rate)

    def epoch(self, at: Progress, validated: bool) -> None:
        """An epoch has ended."""
        valid = {"valid": at.score} if validated else {}
        shown = {"loss": at.losses[-1], **valid}
        self.bar.set_postfix_str(", ".join([f"epoch {at.epoch - 1}", *(f"{k} {v:.4f}" for k, v in shown.items())]))
        if self.log is not None:
            self.log(self.steps, epoch_loss=at.losses[-1], **valid)
