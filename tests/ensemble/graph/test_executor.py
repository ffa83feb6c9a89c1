"""The executor: wiring, one run of each node per batch, requests to the miniature."""

import json
import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest

from cascade.core.errors import ArtifactError, RequestError, WiringError
from cascade.core.signature import ColumnSpec
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops.base import Op
from cascade.ensemble.protocol.inputs import Input


@dataclass
class Node(Op):
    """Adds the columns that it reads, and records them."""

    name: str
    takes: list[str]
    dtype: str = "int64"
    calls: list[dict] = field(init=False, default_factory=list)
    kind = "node"

    @property
    def reads(self):
        return {column: ColumnSpec("int64") for column in self.takes}

    @property
    def writes(self):
        return {self.name: ColumnSpec("int64")}

    def __call__(self, columns):
        self.calls.append(dict(columns))
        return {self.name: sum(columns.values()).astype(self.dtype)}


X = Input("x", "int64", required=True)


def graph(*nodes, outputs=("d",), **options):
    return Executor([X], {node.name: node for node in nodes}, outputs, max_users=4, **options)


def column(*values):
    return {"x": np.array(values, dtype=np.int64)[:, None]}


def diamond():
    return Node("a", ["x"]), Node("b", ["a"]), Node("c", ["a"]), Node("d", ["b", "c", "a"])


def test_every_node_of_a_diamond_runs_once_per_batch():
    nodes = diamond()
    got = graph(*nodes)(column(1, 2, 3))
    assert got["d"].tolist() == [[3], [6], [9]]
    assert [len(node.calls) for node in nodes] == [1, 1, 1, 1]


def test_a_node_sees_what_it_reads_and_nothing_else():
    nodes = diamond()
    graph(*nodes)(column(1))
    assert [set(node.calls[0]) for node in nodes] == [{"x"}, {"a"}, {"a"}, {"a", "b", "c"}]


def test_columns_are_dropped_after_their_last_reader():
    executor = graph(*diamond())
    assert [node.drops for node in executor.nodes] == [{"x"}, set(), set(), {"a", "b", "c", "d"}]


def test_an_op_may_replace_a_column_that_it_reads():
    first, second = Node("x", ["x"]), Node("d", ["x"])
    got = Executor([X], {"first": first, "second": second}, ["d", "x"], max_users=4)(column(2))
    assert got["d"].tolist() == [[2]] and second.calls[0]["x"] is got["x"]


def test_intermediate_columns_are_returned_on_request():
    outputs, _ = graph(*diamond()).run(column(5), keep=["a", "x"])
    assert {name: value.tolist() for name, value in outputs.items()} == {"d": [[15]], "a": [[5]], "x": [[5]]}


def test_each_stage_is_timed_under_its_kind():
    executor = graph(*diamond())
    _, stage_ms = executor.run(column(1))
    assert executor.stages == ("node",) and set(stage_ms) == {"node"}
    assert stage_ms["node"] > 0


def test_wiring_is_checked_when_it_is_built():
    with pytest.raises(WiringError) as error:
        graph(Node("aunt", ["x"]), Node("b", ["ant"]), outputs=["b"])
    assert str(error.value) == (
        "b: reads ant as int64[B, 1], has no such column; did you mean 'aunt'? "
        "columns at this point: x int64[B, 1], aunt int64[B, 1]"
    )
    with pytest.raises(WiringError, match=r"no such column; columns at this point: x int64\[B, 1\]$"):
        graph(Node("b", ["missing"]), outputs=["b"])
    with pytest.raises(WiringError, match="x: writes x, which exists already, and does not read it"):
        graph(Node("a", ["x"]), Node("x", ["a"]), outputs=["x"])
    with pytest.raises(WiringError, match=r"output nothing: .*; columns at this point: x int64\[B, 1\], a int64"):
        graph(Node("a", ["x"]), outputs=["nothing"])


def test_a_wrong_output_is_caught_when_validating():
    wrong = Node("d", ["x"], dtype="float32")
    assert graph(wrong)(column(1))["d"].dtype == np.float32
    with pytest.raises(WiringError, match=r"d: declares d as int64\[B, 1\], wrote float32\[1, 1\]"):
        graph(wrong, validate=True)(column(1))


def test_inputs_are_not_changed(mini_executor, ids):
    request = {"user_id": ids([105, 1]), "top_k": np.array([[3], [5]], dtype=np.int32)}
    before = {name: value.copy() for name, value in request.items()}
    mini_executor(request)
    for name, value in before.items():
        np.testing.assert_array_equal(request[name], value)


class TestMiniature:
    def test_one_call_of_many_users_equals_many_calls_of_one(self, mini, mini_executor, ids):
        users = [*mini.user_ids.tolist(), -5, 7_000]
        rng = np.random.default_rng(0)
        request = {
            "user_id": ids(users),
            "hour": rng.integers(0, 24, (len(users), 1)),
            "exclude_items": rng.choice(mini.item_ids, (len(users), 3)),
            "top_k": rng.integers(1, 12, (len(users), 1)).astype(np.int32),
            "temperature": rng.choice([0, 0.5], (len(users), 1)).astype(np.float32),
            "seed": np.arange(len(users))[:, None],
        }
        together = mini_executor(request)
        for row in range(len(users)):
            alone = mini_executor({name: value[row : row + 1] for name, value in request.items()})
            for name, value in alone.items():
                width = value.shape[1]
                np.testing.assert_array_equal(together[name][row, :width], value[0])

    def test_seen_and_excluded_items_do_not_come_back(self, mini, mini_executor, ids):
        exclude = np.tile(mini.item_ids[:4], (20, 1))
        got = mini_executor({"user_id": ids(mini.user_ids.tolist()), "exclude_items": exclude})["item_ids"]
        for row, seen in zip(got, mini.seen, strict=True):
            listed = set(row[row >= 0].tolist())
            assert listed and not listed & {*seen, *mini.item_ids[:4].tolist()}

    def test_an_unknown_user_is_answered_with_a_reason(self, mini_executor, ids):
        got = mini_executor({"user_id": ids([105, 999])})
        assert got["reasons"][:, 0].tolist() == ["", "unknown_user"]
        assert (got["item_ids"][1] >= 0).all()

    def test_leaving_inputs_out_means_their_defaults(self, mini_executor, ids):
        user = {"user_id": ids([103])}
        named = {**user, "top_k": np.array([[6]], dtype=np.int32), "temperature": np.zeros((1, 1), np.float32)}
        named["hour"] = np.array([[np.iinfo(np.int64).min]])
        for name, value in mini_executor(user).items():
            np.testing.assert_array_equal(value, mini_executor(named)[name])

    def test_without_a_seed_two_draws_differ(self, mini_executor, ids):
        request = {"user_id": ids([103] * 20), "temperature": np.full((20, 1), 5, dtype=np.float32)}
        assert len({tuple(row) for row in mini_executor(request)["item_ids"].tolist()}) > 5

    def test_too_many_users_are_refused(self, mini_executor, ids):
        with pytest.raises(RequestError, match="user_id: expected 1 to 64 users in one call, got 65"):
            mini_executor({"user_id": ids([1] * 65)})


def test_a_folder_that_is_no_version_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="no graph.json"):
        Executor.load(tmp_path)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"op": "teleport"}, "is a 'teleport', this package knows .*drop_seen"),
        ({"op": "drop_seen", "params": {"topk": 3}, "reads": {}, "writes": {}}, "exported with other reads"),
    ],
)
def test_a_graph_of_another_package_is_refused(tmp_path, node, message):
    entry = {"inputs": [], "outputs": [], "max_batch_size": 1, "nodes": [{"name": "00", **node}]}
    (tmp_path / "graph.json").write_text(json.dumps(entry))
    (tmp_path / "release.json").write_text("{}")
    with pytest.raises(ArtifactError, match=message):
        Executor.load(tmp_path)


def test_serving_imports_nothing_heavy():
    code = "import sys, cascade.ensemble.graph.ops, cascade.ensemble.graph.executor; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tensorflow", "merlin", "pandas", "feast", "nvtabular"} & set(loaded)
