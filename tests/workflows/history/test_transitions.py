"""Transitions: counts by hand, an oracle that counts pair by pair, and the leave-one-out of training events."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.evaluation.baselines.markov import transitions as markov
from cascade.evaluation.baselines.sequences import UserSequences
from cascade.workflows.history.transitions import (
    MIN_SHARE,
    PRIOR,
    TRANSITIONS,
    Transitions,
)

FIRST = 3
"""The code of item row 0."""
HISTORY = np.array([[0, 0, 0], [3, 0, 0], [4, 3, 0], [3, 5, 0]], np.int32)
ITEM = np.array([0, 1, 2, 1], np.int32)


def counted(history=HISTORY, item=ITEM, window=2, items=4):
    return Transitions.from_histories(history, item, (items + FIRST, items), window)


def share(number):
    """The share that a feature stands for: the inverse of the logarithmic scale."""
    return np.expm1(number.astype(float) * np.log1p(1 / MIN_SHARE)) * MIN_SHARE


def test_counts_by_hand():
    found = counted()
    assert found.start.tolist() == [0, 0, 0, 0, 2, 3, 4, 4]
    assert found.row.tolist() == [1, 2, 2, 1]
    assert found.count.tolist() == [[2, 2], [0, 0.5], [1, 1], [0, 0.5]]
    assert found.total[FIRST:].tolist() == [[2, 2.5], [1, 1], [0, 0.5], [0, 0]]
    assert found.share.tolist() == [0.25, 0.5, 0.25, 0]


def test_numbers_by_hand():
    at_once, soon, popular = share(counted()(np.array([[3, 4, 0]]), np.array([[1, 2, 1, -1, 3]]), 2)[0].T)
    np.testing.assert_allclose(at_once, [2 / 12, 0, 2 / 12, 0, 0], rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(soon, [2 / 12.5, 0.5 / 12.5 + 1 / 11 / 2, 2 / 12.5, 0, 0], rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(popular, [0.5, 0.25, 0.5, 0, 0], rtol=1e-5, atol=1e-9)


def test_all_lie_between_0_and_1():
    sure = Transitions.from_histories(np.full((9000, 1), 3, np.int32), np.zeros(9000, np.int32), (4, 1), 1)
    found = sure(np.array([[3]]), np.array([[0, -1]]), 1)
    np.testing.assert_allclose(found, [[[1, 1, 1], [0, 0, 0]]], atol=1e-3)


def test_an_empty_history_leaves_popularity():
    found = counted()(np.zeros((1, 3), int), np.array([[1]]), 3)
    assert found[0, 0, :2].tolist() == [0, 0] and found[0, 0, 2] > 0


def test_new_items_have_no_counts():
    """Codes and rows beyond those that were counted."""
    assert not counted()(np.array([[99, 50, 0]]), np.array([[7, 1000]]), 2).any()
    known = counted()(np.array([[99, 3, 0]]), np.array([[1]]), 2)
    assert known[0, 0, 0] == 0 and known[0, 0, 1] > 0


def test_the_markov_chain_is_that_of_the_baseline():
    rng = np.random.default_rng(0)
    items, users = rng.integers(0, 6, 200).astype("i4"), np.sort(rng.integers(0, 20, 200)).astype("i4")
    before = np.where(users[1:] == users[:-1], items[:-1] + FIRST, 0)
    found = counted(np.append(0, before)[:, None].astype("i4"), items, window=1, items=6)
    got = share(found(np.arange(6)[:, None] + FIRST, np.tile(np.arange(6), (6, 1)), 1)[..., 0])
    expected = markov(UserSequences(users, items, 20, 6), PRIOR).toarray()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-8)


def test_it_comes_back_mapped_from_its_files(tmp_path):
    made = counted()
    made.save(tmp_path)
    back = Transitions.open(tmp_path)
    for name, file in Transitions.files(tmp_path).items():
        assert file.name == f"{TRANSITIONS}_{name}.npy"
        assert isinstance(getattr(back, name).base, np.memmap)
        np.testing.assert_array_equal(getattr(back, name), getattr(made, name))
    asked = np.array([[3, 4, 0]]), np.array([[1, 2]]), 2
    np.testing.assert_array_equal(back(*asked), made(*asked))


def test_chunks_add_up(monkeypatch):
    whole = counted()
    monkeypatch.setattr("cascade.workflows.history.transitions.CHUNK", 1)
    for name in ("start", "row", "count", "total", "share"):
        np.testing.assert_array_equal(getattr(counted(), name), getattr(whole, name))


def oracle(history, item, codes, candidates, last, window):
    """The first two features [K] of one user's candidates, as shares, counted pair by pair."""
    at_once, soon = np.zeros(len(candidates)), np.zeros(len(candidates))
    for place, code in enumerate(codes[:last]):
        if code == 0:
            break
        pairs = [(at, row) for past, row in zip(history, item, strict=True) for at in range(window) if past[at] == code]
        of_one, of_few = sum(at == 0 for at, _ in pairs) + PRIOR, sum(1 / (1 + at) for at, _ in pairs) + PRIOR
        for k, candidate in enumerate(candidates):
            own = [at for at, row in pairs if row == candidate]
            at_once[k] += (place == 0) * own.count(0) / of_one
            soon[k] += sum(1 / (1 + at) for at in own) / of_few / (1 + place)
    return at_once, soon


@st.composite
def logs(draw):
    count, length, items = draw(st.integers(1, 12)), draw(st.integers(1, 4)), 4
    event = st.tuples(st.lists(st.integers(0, items - 1), max_size=length), st.integers(0, items - 1))
    events = draw(st.lists(event, min_size=count, max_size=count))
    history = np.zeros((count, length), np.int32)
    for row, (past, _) in zip(history, events, strict=True):
        row[: len(past)] = np.array(past) + FIRST
    window = draw(st.integers(1, length))
    return SimpleNamespace(
        history=history,
        item=np.array([item for _, item in events], np.int32),
        window=window,
        last=draw(st.integers(1, 4)),
    )


@given(logs())
@settings(max_examples=60, deadline=None)
def test_random_logs_equal_the_oracle(log):
    found, candidates = counted(log.history, log.item, log.window), np.array([[0, 3, 1, 2, 3]])
    for codes in log.history:
        got = share(found(codes[None], candidates, log.last)[0].T)
        expected = oracle(log.history, log.item, codes, candidates[0], log.last, log.window)
        np.testing.assert_allclose(got[:2], expected, rtol=1e-4, atol=1e-8)


@given(logs())
@settings(max_examples=60, deadline=None)
def test_a_counted_event_is_left_out_of_its_own_features(log):
    found, candidates = counted(log.history, log.item, log.window), np.tile(np.arange(4), (len(log.item), 1))
    got = share(found(log.history, candidates, log.last, own=log.item, window=log.window))
    for at, codes in enumerate(log.history):
        others = (np.delete(of, at, axis=0) for of in (log.history, log.item))
        expected = oracle(*others, codes, candidates[at], log.last, log.window)
        np.testing.assert_allclose(got[at].T[:2], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("own", [None, np.array([-1])])
def test_an_event_that_was_not_counted_sees_all_counts(own):
    asked = np.array([[3, 4, 0]]), np.array([[1, 2]]), 2
    np.testing.assert_array_equal(counted()(*asked, own=own, window=2), counted()(*asked))
