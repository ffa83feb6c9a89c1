"""Conversion of a TensorFlow graph to ONNX. Its large tables are kept aside meanwhile.

tf2onnx copies all constants in each of some twenty passes over the graph, and the copies are freed late: a table of
10 MB took 500 MB. A pass has nothing to do for a table that rows are gathered from, so it is an input meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

ASIDE_FROM = 1 << 18
"""Size in bytes from which a table is kept aside."""
GATHERS = ("GatherV2", "ResourceGather")


def to_onnx(graph: Any, inputs: Sequence[Any], opset: int, aside_from: int = ASIDE_FROM) -> Any:
    """The ONNX model of a ``tf.function`` of tensors.

    Args:
        inputs: their specs.
        opset: version of ONNX's operators.
        aside_from: size in bytes from which a table is kept aside.
    """
    from onnx import numpy_helper
    from tf2onnx import optimizer, tf_loader, tfonnx

    from .._merlin import tf

    concrete = graph.get_concrete_function(*inputs)
    names = [tensor.name for tensor in concrete.inputs[: len(inputs)]]  # what the graph captures follows
    outputs = [tensor.name for tensor in concrete.outputs]
    renamed = dict(zip(names, (spec.name for spec in inputs), strict=True))
    with tf.device("/cpu:0"):
        frozen = tf_loader.from_function(concrete, names, outputs)
        tables = take_tables(frozen, aside_from)
        with tf.Graph().as_default() as whole:
            tf.import_graph_def(frozen, name="")
            converted = tfonnx.process_tf_graph(
                whole,
                continue_on_error=True,
                opset=opset,
                input_names=[*names, *tables],
                output_names=outputs,
                tensors_to_rename=renamed,
            )
            model = optimizer.optimize_graph(converted).make_model(f"converted from {concrete.name}")
    own = [value for value in model.graph.input if value.name not in tables]
    del model.graph.input[:]
    model.graph.input.extend(own)
    model.graph.initializer.extend(numpy_helper.from_array(table, name) for name, table in tables.items())
    return model


def take_tables(graph: Any, aside_from: int) -> dict[str, NDArray[Any]]:
    """Turn the large constants of a GraphDef from which rows are gathered into inputs; returns tensor name -> value."""
    from .._merlin import tf

    gathered = {node.input[0] for node in graph.node if node.op in GATHERS}
    others = {name for node in graph.node for name in node.input[node.op in GATHERS :]}
    found: dict[str, NDArray[Any]] = {}
    for node in graph.node:
        if node.op != "Const" or node.name not in gathered - others:
            continue
        value = node.attr["value"].tensor
        if len(value.tensor_content) < aside_from:
            continue
        found[f"{node.name}:0"] = np.asarray(tf.make_ndarray(value))
        node.op = "Placeholder"
        node.attr["shape"].shape.CopyFrom(value.tensor_shape)
        del node.attr["value"]
    return found
