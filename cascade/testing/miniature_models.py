"""Two hand-written ONNX models with the inputs and outputs of the trained models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.features import Feature
from ..models.retriever.item_to_item.neighbour_weights import NEIGHBOUR_SCORES


class _Graph:
    """Nodes and constants of an ONNX graph."""

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


def save_query_tower(file: Path, features: Sequence[Feature], dim: int, seed: int = 0) -> None:
    """Write a model of query float32 [B, dim]: the sum of the features' embeddings and of their weighted numbers."""
    graph = _Graph()
    graph.add("Identity", [_user_side(graph, features, dim, np.random.default_rng(seed))], "query")
    graph.save(file, _inputs(features, "B"), "query", ["B", dim])


def save_ranker(
    file: Path,
    users: Sequence[Feature],
    items: Sequence[Feature],
    dim: int,
    *,
    fused: bool = False,
    neighbours: bool = False,
) -> None:
    """Write a model of logits float32 [B, K] = <user side, sum of item embeddings> - sum of continuous item features.

    Args:
        fused: add <query, item vector>, with the further inputs query [B, dim] and item_vectors [B, K, dim].
        neighbours: add the further input neighbour_scores [B, K].
    """
    rng = np.random.default_rng(1)
    graph = _Graph()
    user = _user_side(graph, users, dim, rng)
    last = graph.constant("last", np.array([-1], dtype=np.int64))
    embeddings = [_embedding(graph, f, dim, rng, axis=2) for f in items if f.kind == "categorical"]
    across = graph.add("Unsqueeze", [user, last], "across")
    product = graph.add("MatMul", [graph.add("Sum", embeddings, "item_side"), across], "product")
    logits = graph.add("Squeeze", [product, last], "match")
    for feature in items:
        if feature.kind == "continuous":
            less = graph.add("Squeeze", [feature.name, last], f"{feature.name}_flat")
            logits = graph.add("Sub", [logits, less], f"without_{feature.name}")
    inputs = {**_inputs(users, "B"), **_inputs(items, "B", "K")}
    if fused:
        cosine = graph.add(
            "MatMul", ["item_vectors", graph.add("Unsqueeze", ["query", last], "query_across")], "cosine"
        )
        logits = graph.add("Add", [logits, graph.add("Squeeze", [cosine, last], "cosine_flat")], "fused")
        inputs |= {"query": ("float32", ["B", dim]), "item_vectors": ("float32", ["B", "K", dim])}
    if neighbours:
        logits = graph.add("Add", [logits, NEIGHBOUR_SCORES], "with_neighbours")
        inputs[NEIGHBOUR_SCORES] = ("float32", ["B", "K"])
    graph.add("Identity", [logits], "logits")
    graph.save(file, inputs, "logits", ["B", "K"])


def save_split_ranker(
    item: Path, pair: Path, users: Sequence[Feature], items: Sequence[Feature], dim: int, table: str
) -> None:
    """Write a ranker in two parts: ``item`` gives the column ``table`` [B, dim] of item features, and ``pair`` logits
    [B, K] = <user side, table>."""
    save_query_tower(item, items, dim, seed=2)
    graph = _Graph()
    last = graph.constant("last", np.array([-1], dtype=np.int64))
    across = graph.add("Unsqueeze", [_user_side(graph, users, dim, np.random.default_rng(3)), last], "across")
    graph.add("Squeeze", [graph.add("MatMul", [table, across], "product"), last], "logits")
    graph.save(pair, {**_inputs(users, "B"), table: ("float32", ["B", "K", dim])}, "logits", ["B", "K"])


def _inputs(features: Sequence[Feature], *leading: str) -> dict[str, tuple[str, list[Any]]]:
    return {feature.name: (feature.dtype, [*leading, *feature.dims]) for feature in features}


def _user_side(graph: _Graph, features: Sequence[Feature], dim: int, rng: np.random.Generator) -> str:
    parts = [
        _embedding(graph, feature, dim, rng, axis=1, scale=dim**-0.5)
        for feature in features
        if feature.kind == "categorical"
    ]
    for feature in features:
        if feature.kind != "categorical":
            values = rng.normal(size=(feature.dims[0], dim)).astype(np.float32)
            weights = graph.constant(f"{feature.name}_weights", values)
            parts.append(graph.add("MatMul", [feature.name, weights], f"{feature.name}_part"))
    return graph.add("Sum", parts, "user_side")


def _embedding(
    graph: _Graph, feature: Feature, dim: int, rng: np.random.Generator, axis: int, scale: float = 1.0
) -> str:
    """The sum of a feature's embeddings over its length; padding (code 0) adds 0."""
    table = (scale * rng.normal(size=(feature.cardinality, dim))).astype(np.float32)
    table[0] = 0
    name = feature.name
    rows = graph.add("Gather", [graph.constant(f"{name}_table", table), name], f"{name}_rows")
    return graph.add("ReduceSum", [rows, graph.constant(f"{name}_axis", np.array([axis]))], f"{name}_sum", keepdims=0)
