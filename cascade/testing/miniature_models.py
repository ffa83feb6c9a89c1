"""Two hand-made ONNX models with the inputs and outputs of the trained ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class _Graph:
    """Collects nodes and constants."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def save(self, file: Path, inputs: dict[str, tuple[str, list[Any]]], output: str, dims: list[Any]) -> None:
        import onnx
        from onnx import TensorProto, helper

        types = {"int64": TensorProto.INT64, "float32": TensorProto.FLOAT}
        graph = helper.make_graph(
            self.nodes,
            file.stem,
            [helper.make_tensor_value_info(name, types[dtype], shape) for name, (dtype, shape) in inputs.items()],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, dims)],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, str(file))


def save_query_tower(file: Path, users: int, items: int, dim: int, length: int, seed: int = 0) -> None:
    """query float32 [B, dim] = user + gender + hour + sum over history, each an embedding."""
    graph = _Graph()
    query = _user_side(graph, users, items, dim, np.random.default_rng(seed))
    graph.add("Identity", [query], "query")
    graph.save(file, _user_inputs(length), "query", ["B", dim])


def save_ranker(file: Path, users: int, items: int, dim: int, length: int, seed: int = 1) -> None:
    """logits float32 [B, K] = <user side, item embedding> - price."""
    rng = np.random.default_rng(seed)
    graph = _Graph()
    user = _user_side(graph, users, items, dim, rng)
    last = graph.constant("last", np.array([-1], dtype=np.int64))
    graph.constant("items", rng.normal(size=(items + 2, dim)).astype(np.float32))
    item = graph.add("Gather", ["items", graph.add("Squeeze", ["item_code", last], "codes")], "item")
    across = graph.add("Unsqueeze", [user, last], "across")
    match = graph.add("Squeeze", [graph.add("MatMul", [item, across], "product"), last], "match")
    graph.add("Sub", [match, graph.add("Squeeze", ["price", last], "prices")], "logits")
    item_inputs = {"item_code": ("int64", ["B", "K", 1]), "price": ("float32", ["B", "K", 1])}
    graph.save(file, {**_user_inputs(length), **item_inputs}, "logits", ["B", "K"])


def _user_inputs(length: int) -> dict[str, tuple[str, list[Any]]]:
    return {
        "user_code": ("int64", ["B", 1]),
        "gender_code": ("int64", ["B", 1]),
        "hour_scaled": ("float32", ["B", 1]),
        "history": ("int64", ["B", length]),
    }


def _user_side(graph: _Graph, users: int, items: int, dim: int, rng: np.random.Generator) -> str:
    sizes = {"user_code": users + 2, "gender_code": 4, "history": items + 2}
    middle = graph.constant("middle", np.array([1], dtype=np.int64))
    parts = []
    for name, size in sizes.items():
        table = rng.normal(size=(size, dim)).astype(np.float32) / np.float32(np.sqrt(dim))
        table[0] = 0
        graph.constant(f"{name}_table", table)
        rows = graph.add("Gather", [f"{name}_table", name], f"{name}_rows")
        parts.append(graph.add("ReduceSum", [rows, middle], f"{name}_sum", keepdims=0))
    graph.constant("hour_weights", rng.normal(size=(1, dim)).astype(np.float32))
    parts.append(graph.add("MatMul", ["hour_scaled", "hour_weights"], "hour"))
    return graph.add("Sum", parts, "user_side")
