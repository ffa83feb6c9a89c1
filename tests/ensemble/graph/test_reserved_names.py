"""No feature may be called as a column that an op, a request, a model or a training batch has already."""

import ast
from pathlib import Path

import pytest

import cascade
from cascade.core.errors import WiringError
from cascade.core.signature import ColumnSpec
from cascade.ensemble.config import ServingConfig
from cascade.ensemble.graph.ops import OPS, LookupItems, LookupUser, Transform
from cascade.ensemble.graph.request_graph import request_graph, request_inputs
from cascade.ensemble.protocol.inputs import ARM_INPUT, Input
from cascade.ensemble.repository.export import export
from cascade.ensemble.repository.model_config import STAGES_MS
from cascade.ensemble.repository.step_plan import TRACE, TRACED
from cascade.models.ranker.item_part import QUERY, SHARE, SLOTS
from cascade.models.retriever.objective import ITEM_COLUMNS
from cascade.testing.miniature import RELEASE, SERVING, miniature
from cascade.workflows.tables.names import BATCH, IDS, RESERVED

FEATURES = {"gender", "hour", "item_code", "price"}
"""Of the miniature release."""


def made(folder):
    """An op of each kind, with every option that adds a column."""
    ops = {step.op.kind: step.op for step in miniature(folder, neighbours=True).steps.named.values()}
    lookup = LookupUser("p", {}, "int", "int", 5, {}, times=3)
    transform = Transform([], {}, 3, gaps=True)
    items = LookupItems({}, 8, last=2, history=3, decay=0.5)
    return ops | {op.kind: op for op in (lookup, transform, items)}


def test_columns_of_all_ops_are_reserved(tmp_path):
    ops = made(tmp_path)
    assert {*OPS} <= {*ops}, "make the new op here, too"
    columns = {name for op in ops.values() for name in (*op.reads, *op.writes)}
    assert columns - FEATURES - {*IDS} <= RESERVED


def test_inputs_of_requests_and_of_the_models_are_reserved():
    inputs = request_inputs("int64", "int64", {"hour": ColumnSpec("int64")}, ServingConfig())
    assert {entry.name for entry in inputs} - {"hour", *IDS} <= RESERVED
    assert {STAGES_MS, TRACE, TRACED, ARM_INPUT.name, SLOTS, SHARE, QUERY, *_outputs()} <= RESERVED


def test_columns_of_training_batches_are_reserved():
    assert {*ITEM_COLUMNS} <= RESERVED | {*BATCH} | {"item_row"}
    [rows] = {
        tuple(ast.literal_eval(node.value))
        for node in ast.walk(ast.parse(_source("models/ranker/training.py")))
        if isinstance(node, ast.Assign)
        and getattr(node.targets[0], "id", "") == "rows"
        and isinstance(node.value, ast.Tuple)
    }
    assert {*rows} <= {*BATCH}


def test_an_export_that_cannot_be_loaded_is_not_written(tmp_path):
    mini = miniature(tmp_path / "parts")
    inputs = (*mini.inputs, Input("release", "int64", missing=True))
    with pytest.raises(WiringError, match="respond: writes release, which exists already"):
        export(request_graph(mini.steps, inputs), tmp_path / "models", inputs, RELEASE, version=1, serving=SERVING)
    assert not (tmp_path / "models").exists()


def _outputs():
    """The names that ``export(file, call, inputs, output)`` gives to the outputs of the ONNX models."""
    for part in ("retriever/stage.py", "ranker/export.py"):
        for node in ast.walk(ast.parse(_source(f"models/{part}"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "export":
                yield ast.literal_eval(node.args[3])


def _source(path):
    return (Path(cascade.__file__).parent / path).read_text()
