"""The export through merlin-systems (imports TensorFlow)."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from cascade.core.errors import WiringError
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops import DropSeen, Retrieve
from cascade.ensemble.graph.request_graph import Step, request_graph
from cascade.ensemble.protocol.inputs import Input
from cascade.testing.miniature import (
    DIM,
    RELEASE,
    SERVING,
    miniature,
)

GOLDEN = Path(__file__).parents[2] / "golden"
FILES = {
    "config.pbtxt",
    "1/digests.json",
    "1/graph.json",
    "1/model.py",
    "1/release.json",
    "1/nodes/00_miniature_users/users.npz",
    "1/nodes/01_miniature_transform/ids.npz",
    "1/nodes/02_encode_query/query_tower.onnx",
    "1/nodes/03_retrieve/index.faiss",
    "1/nodes/05_lookup_items/item_code.npy",
    "1/nodes/05_lookup_items/item_vectors.npy",
    "1/nodes/05_lookup_items/price.npy",
    "1/nodes/06_rank/ranker.onnx",
    "1/nodes/08_respond/item_ids.npy",
}


def tree(folder):
    """Relative name -> content digest of every file."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def graph(mini):
    return request_graph(mini.steps, mini.inputs)


def export(graph, mini, repository, version=1):
    from cascade.ensemble.repository.export import export

    return export(graph, repository, mini.inputs, RELEASE, version=version, serving=SERVING)


def test_writes_data_only(exported):
    _, repository = exported
    files = tree(repository / "cascade")
    assert set(files) == FILES
    for name in files:
        content = (repository / "cascade" / name).read_bytes()
        assert not content.startswith(b"\x80"), f"{name} looks like a pickle"
        if name.endswith(".npy"):
            np.load(repository / "cascade" / name, allow_pickle=False)


def test_names_no_absolute_path(exported):
    _, repository = exported
    for name in ("config.pbtxt", "1/graph.json", "1/release.json"):
        assert str(repository.parent) not in (repository / "cascade" / name).read_text()


@pytest.mark.parametrize("exported", ["int64"], indirect=True)
def test_config_is_the_golden_one(exported):
    _, repository = exported
    assert (repository / "cascade" / "config.pbtxt").read_text() == (GOLDEN / "miniature.pbtxt").read_text()


def test_string_ids_travel_as_strings(exported):
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as pb

    made, repository = exported
    config = text_format.Parse((repository / "cascade" / "config.pbtxt").read_text(), pb.ModelConfig())
    expected = pb.TYPE_STRING if made.user_ids.dtype.kind == "U" else pb.TYPE_INT64
    types = {entry.name: entry.data_type for entry in [*config.input, *config.output]}
    assert {types[name] for name in ("user_id", "exclude_items", "item_ids")} == {expected}
    assert [entry.name for entry in config.input if not entry.optional] == ["user_id"]


def test_what_is_exported_answers_as_the_ops_do(exported, mini_executor, ids):
    made, repository = exported
    executor = Executor.load(repository / "cascade" / "1", validate=True)
    assert executor.release["release"] == RELEASE.release
    assert executor.stages[2:] == mini_executor.stages[2:]
    got = executor({"user_id": ids(made.user_ids.tolist())})
    expected = mini_executor({"user_id": ids(list(range(100, 120)))})
    np.testing.assert_array_equal(got["scores"], expected["scores"])
    assert [str(item).lstrip("i") for item in got["item_ids"].ravel()] == [
        str(item) if item >= 0 else "" if made.user_ids.dtype.kind == "U" else "-1"
        for item in expected["item_ids"].ravel()
    ]


def test_merlin_s_own_executor_gives_the_same(graph, mini_executor, ids):
    """Merlin's LocalExecutor runs the same operators, each once per reader."""
    from merlin.table import TensorTable

    request = {"user_id": ids([103, 104, 5]), "temperature": np.full((3, 1), 0.5, dtype=np.float32)}
    request |= {"seed": np.array([[1], [2], [3]])}

    whole = mini_executor.batcher.accept(request)
    got = graph.transform(TensorTable(whole)).to_dict()
    for name, value in mini_executor(request).items():
        np.testing.assert_array_equal(got[name], value)


def test_any_version_and_the_others_stay(graph, mini, tmp_path):
    assert export(graph, mini, tmp_path, version=3).name == "3"
    before = tree(tmp_path / "cascade" / "3")
    export(graph, mini, tmp_path, version=12)
    assert sorted(file.name for file in (tmp_path / "cascade").iterdir()) == ["12", "3", "config.pbtxt"]
    assert tree(tmp_path / "cascade" / "3") == before
    other = tree(tmp_path / "cascade" / "12")
    assert other.pop("digests.json") != before.pop("digests.json")  # they cover config.pbtxt, which names the version
    assert other == before


def test_exporting_twice_gives_the_same_and_leaves_the_graph_alone(graph, mini, tmp_path):
    from merlin.dag import postorder_iter_nodes

    nodes = list(postorder_iter_nodes(graph.graph.output_node))
    before = [(node.op, node.input_schema, node.output_schema) for node in nodes]
    export(graph, mini, tmp_path / "a")
    export(graph, mini, tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    after = [(node.op, node.input_schema, node.output_schema) for node in postorder_iter_nodes(graph.graph.output_node)]
    assert all(old[0] is new[0] and old[1:] == new[1:] for old, new in zip(before, after, strict=True))


def test_a_failed_export_leaves_the_old_version_and_no_remains(graph, mini, tmp_path):
    export(graph, mini, tmp_path)
    before = tree(tmp_path)
    broken = request_graph(
        vary(mini.steps, retrieve=Step(mini.steps.retrieve.op, {"index.faiss": tmp_path / "gone"})), mini.inputs
    )
    with pytest.raises(FileNotFoundError):
        export(broken, mini, tmp_path)
    assert tree(tmp_path) == before


def vary(steps, **changes):
    from dataclasses import replace

    return replace(steps, **changes)


def test_wiring_errors_name_step_and_column_when_the_graph_is_built(mini):
    narrow = vary(mini.steps, retrieve=Step(Retrieve(12, DIM + 1), mini.steps.retrieve.files))
    with pytest.raises(WiringError, match=r"retrieve: reads query as float32\[B, 9\], has float32\[B, 8\]"):
        request_graph(narrow, mini.inputs)
    misplaced = vary(mini.steps, retrieve=Step(DropSeen(3)))
    with pytest.raises(WiringError, match=r"drop_seen: reads retrieved_rows as int64\[B, R\], has no such column"):
        request_graph(misplaced, mini.inputs)


def test_an_input_that_nothing_reads_is_refused(graph, mini, tmp_path):
    from cascade.ensemble.repository.export import export

    inputs = [*mini.inputs, Input("mood", "object")]
    with pytest.raises(WiringError, match="input mood: expected a step that reads it"):
        export(graph, tmp_path, inputs, RELEASE, version=1, serving=SERVING)


def test_graph_json_holds_numbers_that_json_has(exported):
    def refuse(value):
        raise AssertionError(f"{value} is no JSON")

    _, repository = exported
    json.loads((repository / "cascade" / "1" / "graph.json").read_text(), parse_constant=refuse)


def test_parts_need_no_merlin(tmp_path):
    assert miniature(tmp_path, string_ids=True).inputs[0].dtype == "object"
