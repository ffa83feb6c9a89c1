"""config.pbtxt of the fused model; the golden file is that of the default pipeline."""

from dataclasses import fields
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from cascade.config.load import config_with_origins
from cascade.core.signature import ColumnSpec
from cascade.ensemble.graph.ops import Order, Respond
from cascade.ensemble.graph.request_graph import Steps, request_inputs
from cascade.ensemble.repository.model_config import config_text, of_version

OUTPUTS = ("item_ids", "scores", "propensities", "reasons", "release", "arm")
ROOT = Path(__file__).parents[3]
CONFIG = config_with_origins(ROOT / "pipeline.yaml", environ={})[0]


def test_the_config_of_the_default_pipeline_is_the_golden_one():
    inputs = request_inputs("int64", "int64", {}, CONFIG.serving)
    answer, order = Respond(False, "").writes, Order(64).writes
    outputs = {name: (answer | order)[name] for name in OUTPUTS}
    text = config_text(
        CONFIG.export.model_name, inputs, outputs, [step.name for step in fields(Steps) if step.default is not None]
    )
    assert of_version(text, 1) == (ROOT / "tests" / "golden" / "demo.pbtxt").read_text()


def test_dims_and_types_are_triton_s():
    inputs = request_inputs("object", "int64", {"price": ColumnSpec("float64")}, CONFIG.serving)
    text = config_text("shop", inputs, {"scores": ColumnSpec("float32", ("k",))}, ["a", "b"])
    config = text_format.Parse(text, pb.ModelConfig())
    got = {entry.name: (pb.DataType.Name(entry.data_type), list(entry.dims), entry.optional) for entry in config.input}
    assert got == {
        "user_id": ("TYPE_STRING", [1], False),
        "price": ("TYPE_FP64", [1], True),
        "exclude_items": ("TYPE_INT64", [-1], True),
        "top_k": ("TYPE_INT32", [1], True),
        "temperature": ("TYPE_FP32", [1], True),
        "seed": ("TYPE_INT64", [1], True),
    }
    assert [(entry.name, list(entry.dims)) for entry in config.output] == [
        ("scores", [-1]),
        ("stages_ms", [2]),
    ]
    assert config.parameters["stages"].string_value == "a,b"
    assert config.instance_group[0].kind == pb.ModelInstanceGroup.KIND_CPU
