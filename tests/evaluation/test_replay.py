"""Replay of a graph with known answers: item i has score i for every user, and user i has seen item i."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.core.signature import ColumnSpec
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops.base import Op
from cascade.ensemble.protocol.inputs import Input
from cascade.evaluation.funnel import FATES
from cascade.evaluation.held_out import HeldOut
from cascade.evaluation.replay import part_of, rank_logged, replay

N_ITEMS, CANDIDATES = 30, 15
WIDE = ColumnSpec("int64", ("K",))


@dataclass
class Lookup(Op):
    kind: ClassVar[str] = "lookup"
    reads: ClassVar = {"user_id": ColumnSpec("int64")}
    writes: ClassVar = {"query": ColumnSpec("float32", (2,)), "seen_rows": WIDE}

    def __call__(self, columns):
        users = columns["user_id"]
        return {"query": np.hstack([users, -users]).astype(np.float32), "seen_rows": users}


@dataclass
class Retrieve(Op):
    calls: int = 0
    kind: ClassVar[str] = "retrieve"
    reads: ClassVar = {"query": ColumnSpec("float32", (2,)), "seen_rows": WIDE}
    writes: ClassVar = {"candidate_rows": WIDE}

    def __call__(self, columns):
        self.calls += 1
        rows = np.tile(np.arange(CANDIDATES), (len(columns["query"]), 1))
        return {"candidate_rows": np.where(rows == columns["seen_rows"], -1, rows)}


@dataclass
class Rank(Op):
    kind: ClassVar[str] = "rank"
    reads: ClassVar = {"user_id": ColumnSpec("int64"), "candidate_rows": WIDE}
    writes: ClassVar = {"logits": ColumnSpec("float32", ("K",))}

    def __call__(self, columns):
        rows = columns["candidate_rows"]
        return {"logits": np.where(rows < 0, -np.inf, rows + 0 * columns["user_id"]).astype(np.float32)}


@dataclass
class Order(Op):
    kind: ClassVar[str] = "order"
    reads: ClassVar = {"logits": ColumnSpec("float32", ("K",)), "candidate_rows": WIDE}
    writes: ClassVar = {"ranked_rows": ColumnSpec("int64", ("k",))}

    def __call__(self, columns):
        best = np.argsort(-columns["logits"], axis=1)[:, :10]
        return {"ranked_rows": np.take_along_axis(columns["candidate_rows"], best, axis=1)}


INPUTS = [
    Input("user_id", "int64", required=True),
    Input("top_k", "int32", default=5),
    Input("temperature", "float32", default=1.0),
    Input("seed", "int64", default="random"),
]


@pytest.fixture
def executor():
    ops = {"lookup": Lookup(), "retrieve": Retrieve(), "rank": Rank(), "order": Order()}
    return Executor(INPUTS, ops, ["ranked_rows"], max_users=4)


@pytest.fixture
def held_out():
    users = np.arange(10)
    relevant = np.zeros((10, N_ITEMS), bool)
    relevant[users, users] = relevant[:, 14] = relevant[0, [2, 29]] = True
    return HeldOut({"user_id": users[:, None]}, users + 50, csr_matrix(relevant), users + 90)


def test_every_request_is_traced_once_and_in_order(executor, held_out):
    got = replay(executor, held_out, 0.0, batch_size=3)
    assert got.queries[:, 0].tolist() == list(range(10))
    assert got.seen.toarray().argmax(axis=1).tolist() == list(range(10))
    assert got.answers.shape == (10, 10) and (got.answers[:, 0] == 14).all()
    rows = got.candidates
    assert len(rows) == len(rows.label) == 10 * (CANDIDATES - 1)
    assert rows.label.sum() == 11  # item 14 for everybody, item 2 for user 0
    assert rows.users.tolist() == np.repeat(np.arange(50, 60), CANDIDATES - 1).tolist()
    assert np.array_equal(rows.events, rows.users + 40)
    assert np.array_equal(rows.logits, rows.items) and (rows.items != rows.users - 50).all()


def test_every_relevant_item_has_a_fate(executor, held_out):
    got = replay(executor, held_out, 0.0, batch_size=3)
    counts = dict(zip(FATES, np.bincount(got.fates, minlength=len(FATES)), strict=True))
    assert counts == {"not_retrieved": 1, "filtered": 10, "ranked_low": 1, "diversified_away": 0, "found": 10}


def test_batches_stay_within_what_the_graph_takes(executor, held_out):
    large = replay(executor, held_out, 0.0, batch_size=1000)
    small = replay(executor, held_out, 0.0, batch_size=1)
    assert np.array_equal(large.answers, small.answers)


def test_logged_items_are_scored_without_retrieval(executor):
    logged = {"user_id": np.arange(6)[:, None], "candidate_rows": np.array([[20], [3], [0], [7], [3], [29]])}
    assert rank_logged(executor, logged, batch_size=4).tolist() == [20, 3, 0, 7, 3, 29]
    assert executor.nodes[1].op.calls == 0


def test_part_of_keeps_only_the_steps_that_lead_to_the_outputs(executor):
    assert part_of(executor, ["logits"], ["candidate_rows"]).stages == ("rank",)
    assert part_of(executor, ["logits"], []).stages == ("lookup", "retrieve", "rank")
