"""What is counted of a shadow's answers, and that nobody waits for it."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import HANG_S, wait_until

from cascade.core.errors import ServerError
from cascade.ensemble.protocol.inputs import Input
from cascade.ensemble.protocol.request_batching import RequestBatcher
from cascade.ensemble.protocol.serving_file import ArmAddress
from cascade.ensemble.triton.arms import shadow as shadow_module
from cascade.ensemble.triton.arms.joined_call import JoinedCalls
from cascade.ensemble.triton.arms.shadow import Shadows, overlap, rank_biased_overlap

SHADOW = ArmAddress("shadow", "r", 1.0, "there")
LABELS = ("shadow", "shadow"), ("release", "r")


def ids(*rows):
    width = max(map(len, rows))
    return np.array([[*row, *[-1] * (width - len(row))] for row in rows], np.int64).reshape(len(rows), width)


def answer(*rows, reasons="", score=0.5, ms=2.0):
    items = ids(*rows)
    return {
        "item_ids": items,
        "scores": np.full(items.shape, score, np.float32),
        "reasons": np.full((len(rows), 1), reasons, object),
        "stages_ms": np.full((len(rows), 2), ms, np.float32),
    }


class Link:
    closed = False

    def __init__(self, reply):
        self.reply, self.may, self.asked = reply, threading.Event(), []

    def ask(self, columns):
        users = columns["user_id"][:, 0].tolist()
        self.asked.append(users)
        assert self.may.wait(HANG_S)
        if isinstance(self.reply, Exception):
            raise self.reply
        again = len(users) // len(self.reply["item_ids"])
        return {name: np.concatenate([array] * again) for name, array in self.reply.items()}


def users(*ids):
    return {"user_id": np.array(ids).reshape(-1, 1)}


@pytest.fixture
def shadows():
    made = []

    def start(link, shadow=SHADOW):
        calls = JoinedCalls(RequestBatcher([Input("user_id", "int64", required=True)], 100), frozenset())
        made.append(Shadows([shadow], {"shadow": link}, calls, ["a", "b"]))
        return made[-1]

    yield start
    for each in made:
        each.stop()


def test_overlap_by_hand():
    one, other = ids([1, 2, 3, 4], [5], [], []), ids([4, 3, 9, 8], [5, 6], [], [7])
    assert overlap(one, other).tolist() == [0.5, 0.5, 1.0, 0.0]


def test_rank_biased_overlap_by_hand():
    """Equation 32 with p = 0.5. At depths 1, 2, 3 the lists 1 2 3 and 2 1 4 share 0, 2, 2 items."""
    by_depth = 0 / 1 * 0.5 + 2 / 2 * 0.5**2 + 2 / 3 * 0.5**3
    assert rank_biased_overlap(ids([1, 2, 3]), ids([2, 1, 4]), 0.5)[0] == pytest.approx(by_depth + 2 / 3 * 0.5**3)
    # 1 and 1 2: one item at both depths, and s = 1: the second term is 1 * (2 - 1) / (1 * 2) * 0.25.
    uneven = 1 / 1 * 0.5 + 1 / 2 * 0.25 + 1 * 1 / 2 * 0.25 + (0 / 2 + 1 / 1) * 0.25
    assert rank_biased_overlap(ids([1]), ids([1, 2]), 0.5)[0] == pytest.approx(uneven)


lists = st.lists(st.integers(0, 9), unique=True, max_size=8)


@given(one=lists, other=lists, p=st.floats(0.1, 0.95))
def test_rank_biased_overlap_is_symmetric_between_0_and_1_and_1_for_equal_lists(one, other, p):
    a, b = ids(one or [-1]), ids(other or [-1])
    found = rank_biased_overlap(a, b, p)[0]
    assert -1e-12 <= found <= 1 + 1e-12
    assert found == pytest.approx(rank_biased_overlap(b, a, p)[0])
    assert rank_biased_overlap(a, a, p)[0] == pytest.approx(1)
    if not set(one) & set(other) and (one or other):
        assert found == 0


def test_users_are_compared_in_parts_as_together(monkeypatch):
    rng = np.random.default_rng(0)
    one, other = (np.array([rng.permutation(12)[:7] for _ in range(50)]) for _ in range(2))
    together = overlap(one, other), rank_biased_overlap(one, other)
    monkeypatch.setattr(shadow_module, "_PAIRS", 3 * 7 * 7)
    np.testing.assert_array_equal((overlap(one, other), rank_biased_overlap(one, other)), together)
    assert 0 < together[0].min() < together[0].max() and len({*together[1]}) > 10


def test_it_counts_how_both_answers_differ(shadows):
    link = Link(answer([1, 2], [3, 4], score=0.75, ms=4.0))
    made = shadows(link)
    link.may.set()
    own = answer([1, 2], [4, 5])
    own["reasons"][1, 0] = "unknown_user"
    made.offer(users(1, 2), own)
    wait_until(lambda: len(made.values()) > 8)
    found = made.values()
    known, unknown = ((*LABELS, ("users", which)) for which in ("known", "unknown"))
    assert found["recsys_shadow_requests_total", (*LABELS, ("outcome", "answered"))] == 1
    assert found["recsys_shadow_users_total", known] == found["recsys_shadow_users_total", unknown] == 1
    assert found["recsys_shadow_overlap_total", known] == 1 and found["recsys_shadow_overlap_total", unknown] == 0.5
    assert found["recsys_shadow_top_score_change_sum", known] == 0.25
    assert found["recsys_shadow_other_reasons_total", known] == 0
    assert found["recsys_shadow_other_reasons_total", unknown] == 1
    times = {
        by: found["recsys_shadow_stage_seconds_total", (*LABELS, ("by", by), ("stage", "b"))]
        for by in ("stable", "shadow")
    }
    assert times == pytest.approx({"stable": 0.002, "shadow": 0.004})


def test_an_overloaded_shadow_drops_work_and_counts_it(shadows):
    link = Link(answer([1]))
    made = shadows(link)
    made.offer(users(1), answer([1]))
    wait_until(lambda: link.asked)
    for _ in range(shadow_module._WAITING + 5):
        made.offer(users(1), answer([1]))
    dropped = ("recsys_shadow_requests_total", (*LABELS, ("outcome", "dropped")))
    assert made.values()[dropped] == 5
    link.may.set()
    answered = ("recsys_shadow_requests_total", (*LABELS, ("outcome", "answered")))
    wait_until(lambda: made.values().get(answered, 0) == shadow_module._WAITING + 1)


def test_a_shadow_of_many_requests_is_asked_before_they_are_too_many(shadows, monkeypatch):
    monkeypatch.setattr(shadow_module, "_EVERY_S", 10 * HANG_S)
    link = Link(answer([1]))
    link.may.set()
    made = shadows(link)
    answered = ("recsys_shadow_requests_total", (*LABELS, ("outcome", "answered")))
    for _ in range(3):
        before = made.values().get(answered, 0)
        for _ in range(shadow_module._WAITING // 2):
            made.offer(users(1), answer([1]))
        wait_until(lambda before=before: made.values().get(answered, 0) == before + shadow_module._WAITING // 2)


def test_what_has_waited_is_asked_together_but_for_one_that_is_timed(shadows):
    link = Link(answer([1], ms=4.0))
    made = shadows(link)
    made.offer(users(1), answer([1]))
    wait_until(lambda: link.asked)
    for at in range(2, 7):
        made.offer(users(at), answer([1] if at % 2 else [2]))
    link.may.set()
    wait_until(lambda: len(link.asked) == 3 and len(made.values()) > 8)
    assert link.asked == [[1], [2], [3, 4, 5, 6]]
    counted = "recsys_shadow_users_total", (*LABELS, ("users", "known"))
    wait_until(lambda: made.values()[counted] == 6)
    found = made.values()
    assert found["recsys_shadow_overlap_total", (*LABELS, ("users", "known"))] == 3
    assert found["recsys_shadow_stage_seconds_total", (*LABELS, ("by", "shadow"), ("stage", "a"))] == pytest.approx(
        0.008
    )


def test_one_that_fails_or_is_not_there_is_counted(shadows):
    failed = ("recsys_shadow_requests_total", (*LABELS, ("outcome", "failed")))
    links = [Link(ServerError("gone")), Link(KeyError("scores")), None]
    for link in links:
        made = shadows(link)
        if link is not None:
            link.may.set()
        made.offer(users(1), answer([1]))
        wait_until(lambda made=made: made.values().get(failed) == 1)


def test_a_share_of_the_requests_is_asked(shadows, monkeypatch):
    draws = iter([0.05, 0.5, 0.0999, 0.1])
    monkeypatch.setattr(shadow_module.random, "random", lambda: next(draws))
    made = shadows(None, ArmAddress("shadow", "r", 0.1, None))
    for _ in range(4):
        made.offer(users(1), answer([1]))
    assert made.values()["recsys_shadow_requests_total", (*LABELS, ("outcome", "failed"))] == 2
