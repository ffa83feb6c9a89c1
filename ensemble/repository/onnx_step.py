"""Steps as plain ONNX models for Triton's onnxruntime backend; graph nodes do what the op does around its session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ArtifactError
from ...core.files import link_or_copy
from ...core.signature import ColumnSpec
from ..graph.request_graph import Step
from .step_plan import (
    TRACE,
    TRACED,
    StepPlan,
    release_number,
)

MODEL = "model.onnx"
CANDIDATES = "candidate_rows"


def write_model(step: StepPlan, source: Step, release: str, folder: Path) -> None:
    """Write ``model.onnx`` and, if the model has external weights, their files beside it.

    Raises:
        ArtifactError: if the step has no ONNX file, or one with other inputs or outputs than the step.
    """
    import onnx

    models = [path for name, path in source.files.items() if name.endswith(".onnx")]
    if len(models) != 1:
        raise ArtifactError(f"{step.name}: expected one ONNX file to serve, found {len(models)}")
    model = onnx.load(str(models[0]), load_external_data=False)
    as_step(model, step, release)
    (folder / MODEL).write_bytes(model.SerializeToString())
    for name in _external(model):
        link_or_copy(models[0].with_name(name), folder / name)
    onnx.checker.check_model(str(folder / MODEL))


def as_step(model: Any, step: StepPlan, release: str) -> None:
    """Give ``model`` (onnx.ModelProto) the inputs and outputs of ``step``.

    Logits of padded candidates become -inf. The trace passes through; a trace of another release is changed to start
    with -1, which the next step refuses.

    Raises:
        ArtifactError: naming the inputs or outputs that differ from those of the step.
    """
    graph = model.graph
    made = {name: spec for name, spec in step.writes.items() if name != TRACED}
    _expect(step, "takes", graph.input, {name for name in step.reads if name not in (TRACE, CANDIDATES)})
    _expect(step, "gives", graph.output, set(made))
    if CANDIDATES in step.reads:
        for output in graph.output:
            _mask(graph, output.name)
    _pass_trace(graph, release)
    known = {entry.name for entry in graph.input}
    graph.input.extend(_tensor(name, spec) for name, spec in step.reads.items() if name not in known)
    graph.output.append(_tensor(TRACED, step.writes[TRACED]))


def _mask(graph: Any, name: str) -> None:
    """Set column ``name`` float32 [B, K] to -inf for padded candidates."""
    inside = f"all_{name}"
    for node in graph.node:
        node.input[:] = [inside if entry == name else entry for entry in node.input]
        node.output[:] = [inside if entry == name else entry for entry in node.output]
    _constant(graph, "first_row", np.zeros(1, np.int64))
    _constant(graph, "lowest", np.full(1, -np.inf, np.float32))
    _node(graph, "Less", [CANDIDATES, "first_row"], "absent")
    _node(graph, "Where", ["absent", "lowest", inside], name)


def _pass_trace(graph: Any, release: str) -> None:
    for name, value in {"column": [0], "next_column": [1]}.items():
        _constant(graph, name, np.array(value, np.int64))
    _constant(graph, "own_release", np.array([release_number(release)], np.float32))
    _constant(graph, "no_release", np.full(1, -1, np.float32))
    _node(graph, "Slice", [TRACE, "column", "next_column", "next_column"], "release_of_request")
    _node(graph, "Equal", ["release_of_request", "own_release"], "same_release")
    _node(graph, "Where", ["same_release", TRACE, "no_release"], TRACED)


def _node(graph: Any, kind: str, inputs: list[str], output: str) -> None:
    from onnx import helper

    graph.node.append(helper.make_node(kind, inputs, [output], name=f"cascade_{output}"))


def _constant(graph: Any, name: str, value: NDArray[Any]) -> None:
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(value, name))


def _tensor(name: str, spec: ColumnSpec) -> Any:
    """The ONNX declaration of a column [B, *dims]."""
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    return helper.make_tensor_value_info(name, kind, ["B", *spec.dims])


def _expect(step: StepPlan, verb: str, entries: Any, names: set[str]) -> None:
    have = {entry.name for entry in entries}
    if have != names:
        raise ArtifactError(f"{step.name}: its model {verb} {sorted(have)}, the step {sorted(names)}")


def _external(model: Any) -> list[str]:
    """Names of the files with external weights of ``model``."""
    found = {
        entry.value for weight in model.graph.initializer for entry in weight.external_data if entry.key == "location"
    }
    return sorted(found)
