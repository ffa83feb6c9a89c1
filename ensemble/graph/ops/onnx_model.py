"""An ONNX model with one output, run on one thread."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.errors import ArtifactError
from ....core.signature import Columns, ColumnSpec

Inputs = dict[str, tuple[str, int]]
"""Model input -> (dtype name, length), as JSON can hold it."""


def specs(inputs: Inputs, *leading: str) -> dict[str, ColumnSpec]:
    """Column specs of model inputs: [B, *leading, length]."""
    return {name: ColumnSpec(dtype, (*leading, length)) for name, (dtype, length) in inputs.items()}


class OnnxModel:
    """An ONNX Runtime session for batches of any size.

    A batch is cut into slices of users, so that the working set of a call stays in the processor's caches.
    """

    def __init__(self, file: Path, inputs: Iterable[str], output: str, max_users: int) -> None:
        """Open ``file``.

        Args:
            inputs: names of its inputs.
            output: name of its output.
            max_users: users in one call.

        Raises:
            ArtifactError: if the model has other inputs, or no such output.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.output, self.names, self.max_users = [output], list(inputs), max_users
        have = {node.name for node in self.session.get_inputs()}
        if have != set(self.names):
            raise ArtifactError(f"{file.name}: expected inputs {sorted(self.names)}, has {sorted(have)}")
        if output not in {node.name for node in self.session.get_outputs()}:
            raise ArtifactError(f"{file.name}: expected an output {output}, has none of that name")

    def __call__(self, columns: Columns, batch: int, empty: tuple[int, ...]) -> NDArray[Any]:
        """The output, float32 [batch, ...]; for an empty batch, of shape [0, *empty]."""
        if not batch:
            return np.zeros((0, *empty), dtype=np.float32)
        feed = {name: columns[name] for name in self.names}
        if batch <= self.max_users:
            return self._run(feed)
        starts = range(0, batch, self.max_users)
        slices = [{name: values[at : at + self.max_users] for name, values in feed.items()} for at in starts]
        return np.concatenate([self._run(part) for part in slices])

    def _run(self, feed: dict[str, NDArray[Any]]) -> NDArray[Any]:
        found: NDArray[Any] = self.session.run(self.output, feed)[0]
        return found
