"""Registered ops between the steps of the request graph."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import cascade
from cascade.core import registry
from cascade.core.registry import BUILT_IN
from cascade.ensemble.config import ServingConfig
from cascade.ensemble.graph.checked_op import CheckedOp
from cascade.errors import ArtifactError, ConfigError, WiringError
from cascade.extensions import ColumnSpec, Op
from cascade.testing.miniature import SERVING, miniature_repository
from examples import BlockList

BLOCK = {"op": "block_list", "after": "drop_seen", "params": {"rows": [0, 1, 2, 3, 4]}}


@dataclass
class Boost(Op):
    """logits float32 [B, K] -> the same, larger by ``by`` for the first candidate."""

    by: float

    kind: ClassVar[str] = "boost"

    @property
    def reads(self):
        return {"logits": ColumnSpec("float32", ("K",))}

    @property
    def writes(self):
        return self.reads

    def __call__(self, columns):
        logits = columns["logits"].copy()
        logits[:, :1] += np.float32(self.by)
        return {"logits": logits}


@dataclass
class Idle(BlockList):
    """Writes a column that nobody reads."""

    kind: ClassVar[str] = "idle"

    @property
    def writes(self):
        return {"ignored": ColumnSpec("int64", ("K",))}


@dataclass
class OutOfStock(Op):
    """Takes item rows out of those that are retrieved."""

    rows: list[int]

    kind: ClassVar[str] = "out_of_stock"

    @property
    def reads(self):
        return {"retrieved_rows": ColumnSpec("int64", ("R",))}

    @property
    def writes(self):
        return self.reads

    def __call__(self, columns):
        rows = columns["retrieved_rows"]
        return {"retrieved_rows": np.where(np.isin(rows, self.rows), -1, rows)}


@pytest.fixture(autouse=True)
def ops():
    for op in (BlockList, Boost, Idle, OutOfStock):
        cascade.register("op", op.kind, op)


def exported(folder, *ops, neighbours=False, **more):
    serving = ServingConfig.model_validate({**SERVING.model_dump(), "ops": list(ops), **more})
    miniature_repository(folder, serving=serving, neighbours=neighbours)
    return cascade.open_release(folder)


def test_it_runs_where_it_is_put(mini, tmp_path):
    users = list(range(100, 120))
    with cascade.open_release(mini[0]) as plain, exported(tmp_path / "models", BLOCK) as blocked:
        before, after = (one.recommend(users, top_k=12).to_frame() for one in (plain, blocked))
        names = [node.name for node in blocked.executor.nodes]
    gone = before["item_id"].between(1000, 1004)
    assert gone.any() and not after["item_id"].between(1000, 1004).any()
    kept = before[~gone].merge(after, on=["user_id", "item_id"])
    assert len(kept) == (~gone).sum()
    np.testing.assert_array_equal(kept["score_x"], kept["score_y"])
    assert names[4:7] == ["04_drop_seen", "05_block_list", "06_lookup_items"]


def test_several_run_in_the_order_of_the_config(tmp_path):
    more, less = ({"op": "boost", "after": "rank", "params": {"by": by}} for by in (9, -3))
    with exported(tmp_path / "models", more, less, BLOCK) as release:
        ops = [node.op for node in release.executor.nodes]
        assert [op.kind for op in ops][4:10] == [*("drop_seen", "block_list", "lookup_items", "rank", "boost", "boost")]
        assert [op.by for op in ops[8:10]] == [9, -3]


def test_what_it_takes_out_of_the_retrieved_items_is_not_brought_back_by_another_source(tmp_path):
    gone = {"op": "out_of_stock", "after": "retrieve", "params": {"rows": [0, 1, 2, 3, 4]}}
    users = list(range(100, 120))
    with exported(tmp_path / "models", gone, neighbours=True) as release:
        found = release.recommend(users, top_k=12).to_frame()
        items = [release.explain(user).items for user in users]
    assert len(found) and not found["item_id"].between(1000, 1004).any()
    sources = {source for table in items for source in table["source"]}
    assert sources == {"two_tower", "neighbours", "two_tower, neighbours"}


def test_the_ensemble_layout_has_a_model_for_it(tmp_path):
    with exported(tmp_path / "models", BLOCK, layout="ensemble") as release:
        assert "block_list" in release.executor.stages
    assert (tmp_path / "models" / "cascade_block_list" / "config.pbtxt").is_file()
    step = json.loads((tmp_path / "models" / "cascade_block_list" / "1" / "step.json").read_text())
    assert step["nodes"][0]["params"] == {"rows": [0, 1, 2, 3, 4]}


def test_without_extra_ops_the_repository_is_the_same(mini, tmp_path):
    exported(tmp_path / "models")
    files = [file.relative_to(tmp_path / "models") for file in (tmp_path / "models").rglob("*") if file.is_file()]
    assert files and all((tmp_path / "models" / f).read_bytes() == (mini[0] / f).read_bytes() for f in files)


@pytest.mark.parametrize(
    ("op", "error", "message"),
    [
        ({**BLOCK, "params": {}}, ConfigError, r"serving.ops\[0\].params: block_list cannot be made of {}: .*'rows'"),
        ({**BLOCK, "after": "lookup_user"}, ConfigError, r"serving.ops\[0\].after: the graph has no step lookup_user"),
        ({**BLOCK, "after": "retrieve"}, WiringError, "block_list: reads candidate_rows as int64"),
        ({"op": "boost", "after": "order", "params": {"by": 1}}, WiringError, "boost: writes logits, which no later"),
        ({**BLOCK, "op": "idle"}, WiringError, "idle: writes ignored, which no later step reads"),
    ],
)
def test_what_does_not_fit_is_found_when_the_graph_is_built(tmp_path, op, error, message):
    with pytest.raises(error, match=message):
        exported(tmp_path / "models", op)


def test_a_release_whose_op_is_not_installed_says_what_to_install(tmp_path, monkeypatch):
    exported(tmp_path / "models", BLOCK)
    monkeypatch.setattr(registry, "_registered", {kind: {} for kind in BUILT_IN})
    with pytest.raises(ArtifactError, match="is a 'block_list'.*install the package that announces it as"):
        cascade.open_release(tmp_path / "models")


def test_the_config_checks_names_and_steps():
    given = {"schema.sparse": ["user_id", "item_id"]}
    assert cascade.load_config(overrides={**given, "serving.ops": [BLOCK]}).serving.ops[0].params == BLOCK["params"]
    with pytest.raises(ConfigError, match=r"serving.ops\[0\].op: is 'blocklist'.*did you mean 'block_list'"):
        cascade.load_config(overrides={**given, "serving.ops": [{**BLOCK, "op": "blocklist"}]})
    with pytest.raises(ConfigError, match=r"serving.ops\[0\].after: is 'sort'"):
        cascade.load_config(overrides={**given, "serving.ops": [{**BLOCK, "after": "sort"}]})
    several = {"serving.layout": "ensemble", "serving.step_instances": {"block_list": 2}}
    cascade.load_config(overrides={**given, "serving.ops": [BLOCK], **several})


@dataclass
class Broken(BlockList):
    """Writes what ``rows[0]`` says."""

    kind: ClassVar[str] = "broken"

    def __call__(self, columns):
        rows = columns["candidate_rows"]
        return {
            0: lambda: {},
            1: lambda: {"candidate_rows": rows.astype(np.int32)},
            2: lambda: {"candidate_rows": rows[:, 0]},
            3: lambda: {"candidate_rows": rows[:1]},
            4: lambda: {"candidate_rows": np.full_like(rows, 30)},
            5: lambda: {"candidate_rows": np.full_like(rows, -2)},
            6: lambda: {"candidate_rows": rows.tolist()},
            7: lambda: rows,
            8: lambda: rows["missing"],
            9: lambda: {"candidate_rows": np.full_like(rows, 29), "logits": rows},
        }[self.rows[0]]()


BROKEN = [
    (0, "op 'broken': declares candidate_rows as int64.*wrote nothing"),
    (1, "op 'broken': declares candidate_rows as int64.*wrote int32"),
    (2, r"op 'broken': declares candidate_rows as .*wrote int64\[2\]"),
    (3, r"op 'broken': declares candidate_rows as .*B = 2, wrote int64\[1, 4\]"),
    (4, "op 'broken': expected candidate_rows from -1 to 29, wrote 30 to 30"),
    (5, "op 'broken': expected candidate_rows from -1 to 29, wrote -2 to -2"),
    (6, "op 'broken': declares candidate_rows .*wrote list"),
    (7, "op 'broken': expected a mapping of columns, got ndarray"),
]


def test_what_a_registered_op_writes_is_checked():
    rows = {"candidate_rows": np.zeros((2, 4), np.int64)}
    for case, message in BROKEN:
        with pytest.raises(WiringError, match=message):
            CheckedOp(Broken([case]), 30)(rows)
    with pytest.raises(ConfigError, match="op 'broken': raised IndexError"):
        CheckedOp(Broken([8]), 30)(rows)
    assert list(CheckedOp(Broken([9]), 30)(rows)) == ["candidate_rows"]


def test_only_registered_ops_of_a_release_are_checked(tmp_path):
    cascade.register("op", "broken", Broken)
    with exported(tmp_path / "models", {**BLOCK, "op": "broken", "params": {"rows": [4]}}) as release:
        checked = {node.stage for node in release.executor.nodes if isinstance(node.op, CheckedOp)}
        assert checked == {"broken"}
        with pytest.raises(WiringError, match="op 'broken': expected candidate_rows from -1 to 29, wrote 30 to 30"):
            release.recommend([100, 101])
