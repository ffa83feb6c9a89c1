"""Export of a trained model to ONNX, and the check that both give the same results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ArtifactError
from ...core.features import Feature
from .canonical import make_canonical
from .conversion import to_onnx
from .external_tables import move_tables_out

OPSET = 17
TOLERANCE = 1e-4
"""Largest allowed absolute difference between TensorFlow and ONNX Runtime on real rows."""


def specs(features: Sequence[Feature], *leading: None) -> list[Any]:
    """A tensor spec for each feature: its name, its dtype (int64 or float32), its shape [*leading, L]."""
    from .._merlin import tf

    return [tf.TensorSpec([*leading, *f.dims], f.dtype, name=f.name) for f in features]


def export(file: Path, call: Any, inputs: Sequence[Any], output: str, *, empty: bool = True) -> None:
    """Write ``call`` as an ONNX model.

    Args:
        file: where to write it; large tables get files of their own in the same folder.
        call: takes a dict of columns and returns one tensor.
        inputs: tensor specs; None is a variable size.
        output: name of the model's only output.
        empty: the model must accept axes of length 0. If not, ONNX Runtime can optimize away nodes that compute shapes.
    """
    import onnx

    from .._merlin import compiled, tf

    names = [spec.name for spec in inputs]

    @compiled(input_signature=list(inputs))
    def graph(*columns: Any) -> Any:
        return tf.identity(call(dict(zip(names, columns, strict=True))), name=output)

    model = to_onnx(graph, inputs, OPSET)
    rename_output(model, output)
    name_axes(model)
    if empty:
        keep_empty_axes(model)
    make_canonical(model)
    onnx.checker.check_model(model)
    move_tables_out(model, file.parent)
    onnx.save(model, str(file))


def rename_output(model: Any, name: str) -> None:
    """Rename the only output, which tf2onnx names after TensorFlow's last node."""
    old = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = [name if value == old else value for value in node.output]
        node.input[:] = [name if value == old else value for value in node.input]
    model.graph.output[0].name = name


def name_axes(model: Any) -> None:
    """Name the variable axes B (rows) and K (candidates); tf2onnx gives every axis of every input another name."""
    for value in (*model.graph.input, *model.graph.output):
        for name, dim in zip("BK", value.type.tensor_type.shape.dim, strict=False):
            if not dim.HasField("dim_value"):
                dim.dim_param = name


def keep_empty_axes(model: Any) -> None:
    """Let a computed 0 in the shape of a Reshape mean length 0, as in TensorFlow, not "same as the input".

    Without this, a batch of 0 users or a list of 0 candidates fails. Shapes with a -1 are left unchanged: ONNX does not
    allow a 0 together with it.
    """
    from onnx import helper, numpy_helper

    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made = {name: node for node in model.graph.node for name in node.output}

    def infers(name: str) -> bool:
        if name in values:
            return bool((values[name] < 0).any())
        node = made.get(name)
        return node is not None and node.op_type in ("Concat", "Cast", "Unsqueeze") and any(map(infers, node.input))

    for node in model.graph.node:
        if node.op_type == "Reshape" and not infers(node.input[1]):
            node.attribute.append(helper.make_attribute("allowzero", 1))


def session(file: Path) -> Any:
    """A single-threaded ONNX Runtime session on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def run(onnx_session: Any, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """The model's only output for these columns. Columns that the exported model does not read are ignored."""
    names = {value.name for value in onnx_session.get_inputs()}
    feed = {name: np.ascontiguousarray(values) for name, values in columns.items() if name in names}
    return np.asarray(onnx_session.run(None, feed)[0])


def check_parity(file: Path, expected: NDArray[np.float32], columns: Mapping[str, NDArray[Any]]) -> float:
    """The largest absolute difference between the exported model and ``expected``.

    Raises:
        ArtifactError: if it is above ``TOLERANCE`` or not a number, or the shapes differ.
    """
    got = run(session(file), columns)
    difference = float(np.abs(got - expected).max(initial=0.0)) if got.shape == expected.shape else float("inf")
    if not difference <= TOLERANCE:
        raise ArtifactError(
            f"{file.name}: differs by {difference:.3g} from TensorFlow on {len(expected)} rows, "
            f"at most {TOLERANCE:g} is allowed"
        )
    return difference
