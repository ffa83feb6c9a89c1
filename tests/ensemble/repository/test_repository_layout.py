"""Folders and configs of an exported ensemble (imports TensorFlow); tests/golden has some of its configs."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from cascade.core.errors import WiringError
from cascade.core.files import LINK_FROM
from cascade.ensemble.config import ServingConfig, TensorRtConfig
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops import DropSeen
from cascade.ensemble.graph.request_graph import Step
from cascade.ensemble.repository.layout import Exported, write
from cascade.ensemble.server.releases.switch import alike
from cascade.testing.miniature import RELEASE, SERVING, miniature_repository

GOLDEN = Path(__file__).parents[2] / "golden" / "ensemble"
STEPS = [
    "miniature_users", "miniature_transform", "encode_query", "retrieve", "drop_seen", "lookup_items", "rank",
    "order", "respond",
]  # fmt: skip
MODELS = [step for step in STEPS if step != "order"]
"""The last two steps write the outputs, so they are one model."""
SETTINGS = {
    "python": {"layout": "ensemble", "step_instances": {"rank": 2, "order": 3}, "queue_delay_us": 50},
    "onnxruntime": {"layout": "ensemble", "backend": "onnxruntime"},
    "tensorrt": {"layout": "ensemble", "backend": "onnxruntime", "tensorrt": TensorRtConfig(enabled=True)},
}


def serving(name) -> ServingConfig:
    return SERVING.model_copy(update=SETTINGS[name])


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    """Name -> the repository with these settings, made on first use."""
    made = {}

    def repository(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name) / "models"
            miniature_repository(made[name], serving=serving(name))
        return made[name]

    return repository


def parse(folder):
    return text_format.Parse((folder / "config.pbtxt").read_text(), pb.ModelConfig())


def exported(mini, **changes):
    nodes = {f"{at:02d}_{step.op.kind}": step for at, step in enumerate(mini.steps.named.values())}
    outputs = {name: spec for step in nodes.values() for name, spec in step.op.writes.items()}
    outputs = {name: outputs[name] for name in ("item_ids", "scores", "propensities", "reasons", "release")}
    made = {"nodes": nodes, "inputs": mini.inputs, "outputs": outputs, "release": RELEASE, "serving": serving("python")}
    return Exported(**{**made, **changes})


@pytest.mark.parametrize("name", SETTINGS)
def test_configs_are_the_golden_ones(repositories, name):
    for golden in sorted((GOLDEN / name).iterdir()):
        assert (repositories(name) / golden.stem / "config.pbtxt").read_text() == golden.read_text(), golden.name


@pytest.mark.parametrize("name", SETTINGS)
def test_configs_are_valid_and_every_tensor_has_one_writer(repositories, name):
    """What Triton checks when it loads an ensemble; here also for steps whose backend is not installed."""
    repository = repositories(name)
    models = {folder.name: parse(folder) for folder in repository.iterdir()}
    assert set(models) == {"cascade", *(f"cascade_{step}" for step in MODELS)}
    ensemble = models["cascade"]
    specs = {entry.name: (entry.data_type, list(entry.dims)) for entry in ensemble.input}
    for step in ensemble.ensemble_scheduling.step:
        config = models[step.model_name]
        assert config.name == step.model_name and config.max_batch_size == ensemble.max_batch_size
        assert set(step.input_map) == {entry.name for entry in config.input}
        assert set(step.output_map) == {entry.name for entry in config.output}
        for entry in config.input:
            kind, dims = specs[step.input_map[entry.name]]
            assert entry.data_type == kind and fits(dims, entry.dims), (step.model_name, entry.name)
        for entry in config.output:
            assert step.output_map[entry.name] not in specs
            specs[step.output_map[entry.name]] = entry.data_type, list(entry.dims)
    for entry in ensemble.output:
        kind, dims = specs[entry.name]
        assert entry.data_type == kind and fits(dims, entry.dims)


def fits(left, right):
    return len(left) == len(right) and all(-1 in (a, b) or a == b for a, b in zip(left, right, strict=True))


def test_the_ensemble_takes_and_gives_what_the_fused_model_does(repositories, exported_fused):
    ensemble, fused = parse(repositories("python") / "cascade"), parse(exported_fused / "cascade")
    for entry in fused.input:
        entry.allow_ragged_batch = False  # an ensemble batches nothing itself
    assert list(ensemble.input) == list(fused.input)
    assert list(ensemble.output) == list(fused.output)
    assert ensemble.parameters["stages"] == fused.parameters["stages"]


def test_a_release_can_be_an_arm_of_one_in_the_other_layout_if_stages_are_the_same_too(repositories, exported_fused):
    fused, python, onnx = (
        repository / "cascade" / "config.pbtxt"
        for repository in (exported_fused, repositories("python"), repositories("onnxruntime"))
    )
    assert alike(fused, python) and alike(python, fused) and alike(onnx, onnx)
    assert not alike(fused, onnx) and not alike(python, onnx)


@pytest.fixture(scope="module")
def exported_fused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fused") / "models"
    miniature_repository(folder)
    return folder


def test_onnxruntime_steps_are_left_out_of_the_stage_times(repositories):
    config = parse(repositories("onnxruntime") / "cascade")
    stages = config.parameters["stages"].string_value.split(",")
    assert stages == [step for step in STEPS if step not in ("encode_query", "rank")]
    assert next(entry.dims for entry in config.output if entry.name == "stages_ms") == [7]


def test_instances_and_delay_are_those_of_the_config(repositories):
    counts = {step: parse(repositories("python") / f"cascade_{step}").instance_group[0].count for step in MODELS}
    assert counts == {**dict.fromkeys(MODELS, 1), "rank": 2, "respond": 3}
    batching = parse(repositories("python") / "cascade_respond").dynamic_batching
    assert batching.max_queue_delay_microseconds == 50


def test_no_model_has_a_queue_limit_of_triton_s_own(repositories):
    """With one, some requests wait in the queue for half a second."""
    configs = [parse(repositories(name) / f"cascade_{step}") for name in ("python", "onnxruntime") for step in MODELS]
    assert not any(config.dynamic_batching.HasField("default_queue_policy") for config in configs)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_executor_runs_the_files_of_the_steps(repositories, exported_fused, name):
    request = {"user_id": np.arange(100, 120)[:, None]}
    expected = Executor.load(exported_fused / "cascade" / "1")(request)
    for column, array in Executor.load(repositories(name) / "cascade" / "1", validate=True)(request).items():
        np.testing.assert_array_equal(array, expected[column])


def test_every_model_names_its_release(repositories):
    files = sorted(repositories("python").glob("*/1/release.json"))
    assert len(files) == 9 and {json.loads(file.read_text())["release"] for file in files} == {RELEASE.release}


def test_every_model_py_defines_the_class_that_triton_looks_for(repositories, exported_fused):
    files = [*repositories("python").glob("*/1/model.py"), exported_fused / "cascade" / "1" / "model.py"]
    assert len(files) == 9
    for file in files:
        assert callable(runpy.run_path(str(file))["TritonPythonModel"].execute)


def test_big_files_are_linked(mini, tmp_path):
    big = tmp_path / "big.npy"
    big.write_bytes(b"0" * LINK_FROM)
    nodes = exported(mini).nodes | {"04_drop_seen": Step(mini.steps.drop_seen.op, {"big.npy": big})}
    write(exported(mini, nodes=nodes), tmp_path / "models", "cascade", 1)
    assert (tmp_path / "models" / "cascade_drop_seen" / "1" / "files" / "04_drop_seen" / "big.npy").samefile(big)


def test_nothing_is_replaced_before_everything_is_written(mini, tmp_path):
    write(exported(mini), tmp_path, "cascade", 1)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    nodes = exported(mini).nodes
    broken = {**nodes, "08_respond": Step(nodes["08_respond"].op, {"item_ids.npy": tmp_path / "gone"})}
    with pytest.raises(FileNotFoundError, match="gone"):
        write(exported(mini, nodes=broken), tmp_path, "cascade", 1)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_two_steps_of_the_same_kind_are_refused(mini, tmp_path):
    nodes = {**exported(mini).nodes, "09_drop_seen": Step(DropSeen(3))}
    with pytest.raises(WiringError, match="drop_seen: two steps of a kind"):
        write(exported(mini, nodes=nodes), tmp_path, "cascade", 1)
