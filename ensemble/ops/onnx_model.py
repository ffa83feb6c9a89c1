"""One ONNX model, run one user at a time on one thread."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ArtifactError
from ...core.signature import Columns, ColumnSpec

Inputs = dict[str, tuple[str, int]]
"""Model input -> (dtype name, length), as JSON can hold it."""


def specs(inputs: Inputs, *leading: str) -> dict[str, ColumnSpec]:
    """Column specs of model inputs: [B, *leading, length]."""
    return {name: ColumnSpec(dtype, (*leading, length)) for name, (dtype, length) in inputs.items()}


class OnnxModel:
    """An ONNX Runtime session with one output.

    The matrix kernels of a BLAS sum in another order for one row than for many. Each user runs alone, so an answer
    has the same bits whatever the batch; at the few hundred candidates of a user, larger batches are not faster.
    """

    def __init__(self, file: Path, inputs: Iterable[str], output: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.output = output
        have = {node.name for node in self.session.get_inputs()}
        if have != set(inputs):
            raise ArtifactError(f"{file.name}: expected inputs {sorted(inputs)}, has {sorted(have)}")
        if output not in {node.name for node in self.session.get_outputs()}:
            raise ArtifactError(f"{file.name}: expected an output {output}, has none of that name")
        self.names = list(inputs)

    def __call__(self, columns: Columns, batch: int, empty: tuple[int, ...]) -> NDArray[Any]:
        """Float32 [batch, ...]; of shape [0, *empty] for an empty batch."""
        parts = [
            self.session.run([self.output], {name: columns[name][row : row + 1] for name in self.names})[0]
            for row in range(batch)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, *empty), dtype=np.float32)
