"""What a training shows while it runs: a progress bar or, without a terminal, log lines; and curves for TensorBoard."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from ..config import TrainingConfig
from .checkpoints import CheckpointState
from .worker_group import worker_group

log = logging.getLogger(__name__)

LOGS = ".logs"
"""Suffix of the folder with the curves; it lies beside the artifact's folder."""
EVERY = 100
"""Steps between two points of a curve."""


def announce(title: str, part: str) -> None:
    """Log that a part of the training ``title`` begins that has no epochs. Only the chief's line is logged."""
    if worker_group().chief:
        log.info("%s: %s", title, part)


class TrainingProgress:
    """A progress bar with rows/s, and curves of loss, learning rate, rows/s and validation score.

    Without a terminal, a line is logged after each epoch instead.

    Args:
        title: name of the training, in the bar and as the curves' folder.
        steps: batches of an epoch.
        at: where the training begins.
        logs: folder for the curves; used with ``config.tensorboard``.
        shown: False shows and writes nothing, for workers other than the chief.
        score_name: of the validation score, as it is shown: ``NDCG``.
    """

    def __init__(
        self,
        title: str,
        config: TrainingConfig,
        steps: int,
        at: CheckpointState,
        logs: Path,
        shown: bool = True,
        score_name: str = "score",
    ) -> None:
        from tqdm import tqdm

        self.title, self.epochs, self.shown, self.score_name = title, config.epochs, shown, score_name
        self.rows, self.steps = config.batch_size, (at.epoch - 1) * steps + at.step
        self.done, self.begun = (at.epoch - 1) + at.step / steps, time.monotonic()
        total, initial = config.epochs * steps * self.rows, self.steps * self.rows
        self.bar = tqdm(
            total=total, initial=initial, desc=title, unit="rows", unit_scale=True, disable=None if shown else True
        )
        self.curves = Curves(logs / title) if config.tensorboard and shown else None
        self.since = time.perf_counter()

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def step(self, loss: Any, optimizer: Any) -> None:
        """To be called after each step."""
        self.steps += 1
        self.bar.update(self.rows)
        if self.curves is not None and self.steps % EVERY == 0:
            now = time.perf_counter()
            rate, self.since = EVERY * self.rows / (now - self.since), now
            self.curves.add(self.steps, loss=loss, learning_rate=optimizer.learning_rate, rows_per_s=rate)

    def epoch(self, at: CheckpointState, validated: bool) -> None:
        """To be called after each epoch."""
        valid = {"valid": at.score} if validated else {}
        shown = f"loss {at.losses[-1]:.4f}" + (f", validation {self.score_name} {at.score:.4f}" if validated else "")
        self.bar.set_postfix_str(f"epoch {at.epoch - 1}, {shown}")
        if self.shown and self.bar.disable:
            log.info("%s: epoch %d of at most %d, %s, %s", self.title, at.epoch - 1, self.epochs, shown, self._left(at))
        if self.curves is not None:
            self.curves.add(self.steps, epoch_loss=at.losses[-1], **valid)

    def _left(self, at: CheckpointState) -> str:
        """How long an epoch has taken on average, and how long the other epochs take if there is no early stopping."""
        each = (time.monotonic() - self.begun) / (at.epoch - 1 - self.done)
        return f"{each:.1f} s an epoch, at most {each * (self.epochs - at.epoch + 1):.0f} s of epochs left"


class Curves:
    """Scalar summaries in TensorBoard's format, written without the tensorboard package: only a viewer needs that."""

    def __init__(self, folder: Path) -> None:
        from .._merlin import tf

        self.tf, self.writer = tf, tf.summary.create_file_writer(str(folder))

    def add(self, step: int, **values: Any) -> None:
        """Add a point to the curve of each name at ``step``, counted over all epochs."""
        metadata = self.tf.compat.v1.SummaryMetadata()
        metadata.plugin_data.plugin_name = "scalars"
        metadata.data_class = 1  # a scalar
        with self.writer.as_default(step):
            for name, value in values.items():
                self.tf.summary.write(name, self.tf.cast(value, self.tf.float32), metadata=metadata)
        self.writer.flush()
