"""What a training writes for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class TrainingLog:
    """Curves of numbers by step; written without the tensorboard package, which only a viewer needs.

    Args:
        folder: where TensorBoard finds them; None writes nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        from .._merlin import tf

        self.tf = tf
        self.writer = tf.summary.create_file_writer(str(folder)) if folder else None

    def __call__(self, step: int, **values: Any) -> None:
        """Add a point to the curve of each name at ``step``, counted over all epochs."""
        if self.writer is None:
            return
        metadata = self.tf.compat.v1.SummaryMetadata()
        metadata.plugin_data.plugin_name = "scalars"
        metadata.data_class = 1  # a scalar
        with self.writer.as_default(step):
            for name, value in values.items():
                self.tf.summary.write(name, self.tf.cast(value, self.tf.float32), metadata=metadata)
        self.writer.flush()
