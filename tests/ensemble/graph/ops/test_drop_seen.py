"""Dropping what the user has seen."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cascade.ensemble.graph.ops.drop_seen import DropSeen
from cascade.testing.op_contract import OpContract


def rows(values):
    return np.asarray(values, dtype=np.int64)


class TestDropSeen(OpContract):
    def make_op(self, folder):
        return DropSeen(topk=3)

    def make_batch(self):
        retrieved = rows([[9, 4, 7, 1, 2], [9, 4, -1, -1, -1], [5, 6, 7, 8, 0], [-1] * 5])
        return {"retrieved_rows": retrieved, "seen_rows": rows([[4, 1, -1], [9, 4, 3], [-1] * 3, [7, -1, -1]])}


def test_keeps_the_first_unseen_in_order_and_pads():
    got = DropSeen(topk=3)(
        {"retrieved_rows": rows([[3, 5, 8, 1], [7, 5, -1, -1]]), "seen_rows": rows([[5, -1], [7, 5]])}
    )
    assert got["candidate_rows"].tolist() == [[3, 8, 1], [-1, -1, -1]]


def test_seen_items_of_another_user_do_not_count():
    got = DropSeen(topk=2)({"retrieved_rows": rows([[3, 5], [3, 5]]), "seen_rows": rows([[3, 5], [-1, -1]])})
    assert got["candidate_rows"].tolist() == [[-1, -1], [3, 5]]


def test_nothing_seen_at_all():
    got = DropSeen(topk=2)({"retrieved_rows": rows([[3, 5, 6]]), "seen_rows": np.zeros((1, 0), dtype=np.int64)})
    assert got["candidate_rows"].tolist() == [[3, 5]]


def test_two_thousand_seen_far_apart():
    rng = np.random.default_rng(0)
    seen, other = rng.integers(0, 2**40, (2, 3, 2000))
    retrieved = np.concatenate([seen[:, 1500:], other[:, :300]], axis=1)
    got = DropSeen(topk=500)({"retrieved_rows": retrieved, "seen_rows": seen})["candidate_rows"]
    assert got[:, :300].tolist() == other[:, :300].tolist() and (got[:, 300:] == -1).all()


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 12), unique=True, max_size=8), st.lists(st.integers(0, 12), max_size=6)),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 9),
)
def test_is_what_a_loop_gives(users, topk):
    def padded(lists):
        width = max(map(len, lists))
        return rows([[*entry, *[-1] * (width - len(entry))] for entry in lists]).reshape(len(lists), width)

    retrieved, seen = padded([r for r, _ in users]), padded([s for _, s in users])
    got = DropSeen(topk=topk)({"retrieved_rows": retrieved, "seen_rows": seen})["candidate_rows"]
    assert got.shape == (len(users), min(topk, retrieved.shape[1]))
    for row, (found, known) in zip(got, users, strict=True):
        assert row[row >= 0].tolist() == [item for item in found if item not in known][:topk]
