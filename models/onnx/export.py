"""From a trained model to ONNX, and the proof that both compute the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ArtifactError
from ...core.features import Feature
from .external_tables import move_tables_out

OPSET = 17
TOLERANCE = 1e-4
"""Largest absolute difference between TensorFlow and ONNX Runtime on real rows."""


def specs(features: Sequence[Feature], *leading: None) -> list[Any]:
    """A tensor spec for each feature: its name, int64 or float32 [*leading, L]."""
    from .._merlin import tf

    return [tf.TensorSpec([*leading, *f.dims], f.dtype, name=f.name) for f in features]


def export(file: Path, call: Any, inputs: Sequence[Any], output: str, *, empty: bool = True) -> None:
    """Write ``call`` as an ONNX model.

    Args:
        call: takes a dict of columns and returns one tensor.
        inputs: tensor specs; None is a size that varies.
        output: name of the model's only output.
        empty: the model must take axes of length 0; without that, ONNX Runtime spares the nodes that compute shapes.
    """
    import onnx
    import tf2onnx

    from .._merlin import tf

    names = [spec.name for spec in inputs]

    @tf.function(input_signature=list(inputs))
    def graph(*columns: Any) -> Any:
        return tf.identity(call(dict(zip(names, columns, strict=True))), name=output)

    model, _ = tf2onnx.convert.from_function(graph, input_signature=list(inputs), opset=OPSET)
    rename_output(model, output)
    name_axes(model)
    if empty:
        keep_empty_axes(model)
    onnx.checker.check_model(model)
    move_tables_out(model, file.parent)
    onnx.save(model, str(file))


def rename_output(model: Any, name: str) -> None:
    """Give the only output its name; tf2onnx calls it after TensorFlow's last node."""
    old = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = [name if value == old else value for value in node.output]
        node.input[:] = [name if value == old else value for value in node.input]
    model.graph.output[0].name = name


def name_axes(model: Any) -> None:
    """One name for each size that varies: B, and K for candidates; tf2onnx names each axis of each input otherwise."""
    for value in (*model.graph.input, *model.graph.output):
        for name, dim in zip("BK", value.type.tensor_type.shape.dim, strict=False):
            if not dim.HasField("dim_value"):
                dim.dim_param = name


def keep_empty_axes(model: Any) -> None:
    """Let a computed 0 in a Reshape mean an axis of length 0, as TensorFlow has it, not "as in the input".

    Without it no batch of 0 users and no list of 0 candidates would go through. Shapes with a -1 stay as they are: a 0
    beside it is not allowed.
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
    """ONNX Runtime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def run(onnx_session: Any, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """The model's only output; it may have dropped inputs that it does not need."""
    names = {value.name for value in onnx_session.get_inputs()}
    feed = {name: np.ascontiguousarray(values) for name, values in columns.items() if name in names}
    return np.asarray(onnx_session.run(None, feed)[0])


def check_parity(file: Path, expected: NDArray[np.float32], columns: Mapping[str, NDArray[Any]]) -> float:
    """The largest absolute difference between the exported model and ``expected``.

    Raises:
        ArtifactError: if it is above the tolerance.
    """
    got = run(session(file), columns)
    difference = float(np.abs(got - expected).max(initial=0.0)) if got.shape == expected.shape else float("inf")
    if not difference <= TOLERANCE:
        raise ArtifactError(
            f"{file.name}: differs by {difference:.3g} from TensorFlow on {len(expected)} rows, "
            f"at most {TOLERANCE:g} is allowed"
        )
    return difference
