"""Features of a request from lookup tables, and the items that must not be recommended."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.ensemble.graph.ops.compiled_features import cross, normalize
from cascade.ensemble.graph.ops.drop_seen import DropSeen
from cascade.ensemble.graph.ops.transform import Transform
from cascade.testing.op_contract import OpContract
from cascade.workflows.transforms.codes import MISSING_INT, to_front
from cascade.workflows.transforms.lookup_tables import codes_for, load_codes

FEATURES = [
    {"name": "user_id", "kind": "categorical", "raw": ["user_id"], "length": None},
    {"name": "tastes", "kind": "categorical", "raw": ["tastes"], "length": 2},
    {"name": "age", "kind": "continuous", "raw": ["age"], "length": None, "fill": 30.0, "mean": 40.0, "std": 10.0},
    {"name": "geo_hour", "kind": "cross", "raw": ["geo", "hour"], "length": None, "sizes": [3, 2]},
]
RAW = {
    **{"user_id": ["int64", [1]], "tastes": ["object", ["L"]], "age": ["int64", [1]]},
    **{"geo": ["object", [1]], "hour": ["float64", [1]]},
}
N = MISSING_INT


def objects(rows):
    return np.array(rows, object)


def make_op(folder, **changes):
    codes_for(np.array([500, 7]), np.array([3, 4])).save(folder, "user_id")
    codes_for(["jazz", "pop"], np.array([3, 4])).save(folder, "tastes")
    codes_for(["n", "s"], np.array([1, 2])).save(folder, "geo_hour.geo")
    codes_for(np.array([20.0]), np.array([1])).save(folder, "geo_hour.hour")
    # Known combinations: (n, 20), (missing, 20), (s, missing).
    codes_for(np.array([1 * 2 + 1, 1, 2 * 2]), np.array([3, 4, 5])).save(folder, "geo_hour")
    codes_for(np.array([10, 20, 30, 40]), np.arange(4)).save(folder, "item_rows")
    np.save(folder / "item_codes.npy", np.array([5, 3, 4, 2], np.int32))
    op = Transform(FEATURES, RAW, **{"history": 3, **changes})
    op.load(folder)
    return op


def batch():
    return {
        "user_id": np.array([[7], [500], [99], [N]]),
        "tastes": objects([["pop", "jazz", "pop"], ["rock", None, None], [None] * 3, ["jazz", None, None]]),
        "age": np.array([[50], [N], [40], [35]]),
        "geo": objects([["n"], [None], ["s"], ["w"]]),
        "hour": np.array([[20.0], [20.0], [np.nan], [20.0]]),
        "history_ids": np.array([[30, 10, 20, 40], [99, 20, N, N], [N] * 4, [40, N, N, N]]),
        "rejected_ids": np.array([[N], [30], [N], [77]]),
        "exclude_items": np.array([[N, N], [10, 98], [20, N], [N, N]]),
    }


class TestTransform(OpContract):
    def make_op(self, folder):
        return make_op(folder)

    def make_batch(self):
        return batch()


class TestTransformWithGaps(OpContract):
    def make_op(self, folder):
        return make_op(folder, gaps=True)

    def make_batch(self):
        return batch() | {"history_times": np.array([[70, 69, 60, 8], [9, 9, N, N], [N] * 4, [5, N, N, N]])}


class TestTransformThatKeepsSeenItems(OpContract):
    def make_op(self, folder):
        return make_op(folder, keep_seen=True)

    def make_batch(self):
        return batch()


def test_gaps_by_hand(tmp_path):
    """There may be fewer times than items. A missing id is dropped together with its time."""
    op = make_op(tmp_path, gaps=True)
    got = op(TestTransformWithGaps().make_batch())
    assert got["history_gap"].tolist() == [[1, 3, 6], [1, 2, 0], [0, 0, 0], [1, 0, 0]]
    ids = np.array([[30, N, 20, 10], [30, 10, 20, N], [N] * 4, [N] * 4])
    got = op({**batch(), "history_ids": ids, "history_times": np.array([[9, 8], [9, 5], [N, N], [N, N]])})
    assert got["history"].tolist() == [[4, 3, 0], [4, 5, 3], [0, 0, 0], [0, 0, 0]]
    assert got["history_gap"].tolist() == [[1, 0, 0], [1, 5, 0], [0, 0, 0], [0, 0, 0]]


def test_by_hand(tmp_path):
    got = make_op(tmp_path)(batch())
    assert got["user_id"].tolist() == [[4], [3], [2], [1]]
    assert got["tastes"].tolist() == [[4, 3], [2, 0], [0, 0], [3, 0]]
    assert got["age"].tolist() == [[1.0], [-1.0], [0.0], [-0.5]]
    assert got["geo_hour"].tolist() == [[3], [4], [5], [2]]
    assert got["history"].tolist() == [[4, 5, 3], [2, 3, 0], [0, 0, 0], [2, 0, 0]]
    seen = [[2, 0, 1, 3], [1, 2, 0], [1], [3]]
    assert got["seen_rows"].tolist() == [[*rows, *[-1] * (7 - len(rows))] for rows in seen]


def test_kept_are_the_items_of_the_history_and_no_others(tmp_path):
    drop, keep = (make_op(tmp_path, keep_seen=keep)(batch()) for keep in (False, True))
    rows = [[-1] * 3, [2, 0, -1], [1, -1, -1], [-1] * 3]
    assert keep.pop("seen_rows").tolist() == rows
    drop.pop("seen_rows")
    assert {name: values.tolist() for name, values in keep.items()} == {n: v.tolist() for n, v in drop.items()}


def test_a_rejected_item_is_no_candidate_and_not_in_the_history(tmp_path):
    columns = {**batch(), "rejected_ids": np.array([[N, N], [N, N], [40, 10], [N, N]])}
    got = make_op(tmp_path)(columns)
    assert (got["seen_rows"][2, :4].tolist(), got["history"][2].tolist()) == ([3, 0, 1, -1], [0, 0, 0])
    retrieved = np.tile(np.arange(4), (4, 1))
    kept = DropSeen(topk=4)({"retrieved_rows": retrieved, "seen_rows": got["seen_rows"]})["candidate_rows"]
    assert kept[2].tolist() == [2, -1, -1, -1]


def test_a_combination_of_missing_values_is_missing():
    parts = [codes_for(["n"], np.array([1])), codes_for(["x"], np.array([1]))]
    whole = codes_for(np.array([3]), np.array([3]))
    raw = [objects([["n"], [None], ["n"], ["m"]]), objects([["x"], [None], [None], ["x"]])]
    got = cross(raw, parts, whole, np.array([2, 2]))
    assert got.tolist() == [[3], [1], [2], [2]]


def test_no_deviation_only_shifts():
    assert normalize(np.array([[5.0], [np.nan]]), 4.0, 3.0, 0.0).tolist() == [[2.0], [1.0]]


def test_text_ids(tmp_path):
    codes_for(["b", "a\0"], np.arange(2)).save(tmp_path, "item_rows")
    rows = load_codes(tmp_path, "item_rows")
    assert rows(objects([["a", "a\0", "b", None]]), -2, -1).tolist() == [[-1, 1, 0, -2]]


def test_an_empty_vocabulary_knows_nothing():
    codes = codes_for(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert codes(np.array([[3, N]]), 1, 2).tolist() == [[2, 1]]


def test_to_front_keeps_the_order():
    front = np.empty((2, 2), int)
    to_front(np.array([[-1, 6, 0, 7], [8, -1, -2, -1]]), 9, front)
    assert front.tolist() == [[6, 0], [8, 9]]


def test_called_before_load():
    nothing = dict.fromkeys(("history_ids", "rejected_ids", "exclude_items"), np.zeros((1, 0), int))
    with pytest.raises(RuntimeError, match="call load"):
        Transform([], {}, history=1)(nothing)


def test_parameters_from_a_folder(tmp_path):
    params = {"features": [], "raw": {}, "history": 2, "item_dtype": "object"}
    (tmp_path / "request.params").write_text(json.dumps(params))
    assert Transform.compiled(tmp_path).reads["history_ids"].dtype == "object"


@given(mean=st.floats(-1e12, 1e12), std=st.floats(0, 1e12), sign=st.sampled_from([-1, 1]))
def test_what_the_limits_admit_is_finite_in_32_bits(mean, std, sign):
    age = {"name": "age", "kind": "continuous", "raw": ["age"], "length": None, "fill": 0.0, "mean": mean, "std": std}
    limits = Transform([age], {"age": ["float64", [1]]}, history=3).limits["age"]
    assert limits[0] <= mean <= limits[1]
    most = normalize(np.array([limits]).T, 0.0, mean, std)
    assert np.isfinite(most).all()
    assert (np.abs(most) <= 1.1e30).all()
