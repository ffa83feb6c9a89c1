"""The Markov chain, checked by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.evaluation.baselines.markov import (
    LAST,
    POPULARITY,
    MarkovSetting,
    markov_scores,
    transitions,
)
from cascade.evaluation.baselines.past import Past
from cascade.evaluation.baselines.sequences import UserSequences

# user 0: a b c; user 1: none; user 2: a b; user 3: b c a
SEQUENCES = UserSequences(np.array([0, 0, 0, 2, 2, 3, 3, 3], "i4"), np.array([0, 1, 2, 0, 1, 1, 2, 0], "i4"), 4, 5)


def test_transitions_are_counted_within_a_user():
    got = transitions(SEQUENCES, prior=1.0).toarray()
    want = np.zeros((5, 5))
    want[0, 1] = 2 / 3  # a b, a b
    want[1, 2] = 2 / 3  # b c, b c
    want[2, 0] = 1 / 2  # c a
    assert got == pytest.approx(want)


def test_an_item_without_transitions_has_a_row_of_zeros():
    got = transitions(SEQUENCES, prior=0.0).toarray()
    assert got.sum(axis=1).tolist() == [1, 1, 1, 0, 0]


def scores(sequences, decay, users):
    past = Past(sequences, np.zeros(len(sequences.users), np.int64))
    return markov_scores(past, MarkovSetting(decay, prior=0.0))(np.array(users))


def test_later_items_count_more():
    got = scores(SEQUENCES, 0.4, [0, 1])
    popular = POPULARITY * np.array([3, 3, 2, 0, 0]) / 8
    assert got[0] == pytest.approx([1, 0.4**2, 0.4, 0, 0] + popular)
    assert got[1] == pytest.approx(popular)


def test_only_the_last_items_count():
    long = UserSequences(np.zeros(LAST + 2, "i4"), np.arange(LAST + 2, dtype="i4"), 1, LAST + 2)
    got = scores(long, 0.5, [0])[0]
    assert (got > 0.5 * 0.5**LAST).sum() == LAST - 1  # the last item has no transition, the first two are too old


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(1, 4))
@settings(max_examples=50)
def test_last_gives_the_last_items_of_each_user(owners, count):
    users = np.sort(np.array(owners, "i4"))
    sequences = UserSequences(users, np.arange(len(users), dtype="i4"), 6, len(users))
    got = sequences.last(np.arange(6), count)
    for user, row in enumerate(got):
        own = np.flatnonzero(users == user)[::-1][:count]
        assert row.tolist() == [*own, *[-1] * (count - len(own))]
