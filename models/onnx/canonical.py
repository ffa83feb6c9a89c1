"""One form for an ONNX graph, so that equal weights are equal bytes.

TensorFlow numbers layers and functions through the life of a process, and tf2onnx names nodes after them and sorts by
these names. A model that is trained again would have other bytes, and so its release another digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any


def make_canonical(model: Any) -> None:
    """Number nodes, values and constants of a ModelProto in the order in which the outputs need them.

    Inputs and outputs keep their names. Nodes that no output needs are dropped, and so are inferred shapes.
    """
    graph = model.graph
    kept = [value.name for value in (*graph.input, *graph.output)]
    _order(graph)
    prefix = ""
    while any(name.startswith((f"{prefix}value_", f"{prefix}constant_")) for name in kept):
        prefix += "_"
    _rename(graph, dict(zip(kept, kept, strict=True)), count(), prefix)
    graph.name, graph.doc_string, model.doc_string = "graph", "", ""
    imports = sorted(model.opset_import, key=lambda entry: entry.domain)
    del model.opset_import[:]
    model.opset_import.extend(imports)


def _order(graph: Any) -> None:
    """Put what the outputs need first, in the order in which they need it, and drop the rest."""
    made = {name: node for node in graph.node for name in node.output}
    nodes: list[Any] = []
    used: dict[str, None] = {}  # an ordered set
    stack = [(value.name, False) for value in reversed(graph.output)]
    done: set[int] = set()
    while stack:
        name, ready = stack.pop()
        used.setdefault(name)
        node = made.get(name)
        if node is None or id(node) in done:
            continue
        if ready:
            done.add(id(node))
            nodes.append(node)
        else:
            stack.append((name, True))
            stack += [(needed, False) for needed in reversed(_needs(node))]
    constants = {tensor.name: tensor for tensor in graph.initializer}
    ordered = [constants[name] for name in used if name in constants]
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    tensors = [type(tensor).FromString(tensor.SerializeToString()) for tensor in ordered]
    for field, values in ((graph.node, copies), (graph.initializer, tensors), (graph.value_info, [])):
        del field[:]
        field.extend(values)


def _needs(node: Any) -> list[str]:
    """The values that a node reads, also in the graphs of its branches."""
    inner = [name for graph in _graphs(node) for each in graph.node for name in _needs(each)]
    return [name for name in (*node.input, *inner) if name]


def _rename(graph: Any, names: dict[str, str], numbers: Iterator[int], prefix: str) -> None:
    """Give everything in ``graph`` a number; ``names`` has the new names of what is around it."""
    inner = names.copy()
    for value in graph.input:
        inner.setdefault(value.name, f"{prefix}value_{next(numbers)}")
    for tensor in graph.initializer:
        tensor.name = inner.setdefault(tensor.name, f"{prefix}constant_{next(numbers)}")
    for node in graph.node:
        node.name, node.doc_string = f"{node.op_type}_{next(numbers)}", ""
        node.input[:] = [inner[name] if name else "" for name in node.input]
        node.output[:] = [
            inner.setdefault(name, f"{prefix}value_{next(numbers)}") if name else "" for name in node.output
        ]
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        copies = [type(entry).FromString(entry.SerializeToString()) for entry in attributes]
        del node.attribute[:]
        node.attribute.extend(copies)
        for branch in _graphs(node):
            branch.name, branch.doc_string = "branch", ""
            del branch.value_info[:]
            _rename(branch, inner, numbers, prefix)
    for value in (*graph.input, *graph.output):
        value.name = inner[value.name]


def _graphs(node: Any) -> list[Any]:
    """The graphs in a node's attributes: the branches of an If, the body of a Loop."""
    return [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs) if graph.node]
