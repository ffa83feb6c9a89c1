"""Ranks by hand, and scipy's rankdata as the oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

from cascade.core.errors import DivergedError
from cascade.models import metrics

INF = np.inf
FEW = st.sampled_from([-1.0, 0.0, 0.5, 2.0])
"""Few different scores, so that many tie."""


def test_ranks_of_targets_by_hand():
    """No tie; a tie of all three; a tie of two below one other; a target that is not among them."""
    scores = np.array([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0], [4.0, 4.0, 9.0], [1.0, 2.0, 3.0]])
    got = metrics.target_ranks(scores, np.array([1, 0, 1, -1]))
    assert got.dtype == np.float64 and got.tolist() == [0, 1, 1.5, INF]


def test_minus_infinity_is_no_item():
    assert metrics.target_ranks(np.array([[1.0, -INF, 1.0, -INF]]), np.array([0])).tolist() == [0.5]


def test_whole_numbers_are_scores_too():
    assert metrics.target_ranks(np.array([[3, 7, 7]]), np.array([2])).tolist() == [0.5]


def test_no_rows():
    assert metrics.target_ranks(np.zeros((0, 4)), np.zeros(0, np.int64)).tolist() == []
    assert metrics.mean_ranks(np.zeros(0), np.zeros(0, np.int64)).tolist() == []


@pytest.mark.parametrize("at", [0, 1, 2])
def test_nan_is_an_error_wherever_it_is(at):
    scores = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)
    scores[1, at] = np.nan
    message = "two_tower, epoch 3: 1 of 6 scores are NaN: the model has diverged; lower its learning rate"
    with pytest.raises(DivergedError, match=message):
        metrics.target_ranks(scores, np.array([0, 1]), "two_tower, epoch 3")
    with pytest.raises(FloatingPointError, match="ranker, epoch 1: 1 of 3 scores are NaN"):
        metrics.mean_ranks(scores[1], np.zeros(3, np.int64), "ranker, epoch 1")


@given(
    arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.one_of(FEW, st.just(-INF))),
    st.integers(1, 13),
    st.integers(0, 2**32 - 1),
)
def test_ranks_at_the_top_are_those_of_targets(scores, k, seed):
    relevant = csr_matrix(np.random.default_rng(seed).random(scores.shape) < 0.4)
    got = metrics.top_ranks(scores, relevant, k)
    rows, items = relevant.nonzero()
    there = ~np.isneginf(scores[rows, items])
    expected = np.full(len(rows), INF)
    expected[there] = metrics.target_ranks(scores[rows[there]], items[there])
    assert got.tolist() == np.where(expected < k, expected, INF).tolist()


def test_nan_at_the_top_is_an_error():
    with pytest.raises(DivergedError, match="two_tower with neighbours: 1 of 2 scores are NaN"):
        metrics.top_ranks(np.array([[1.0, np.nan]]), csr_matrix([[True, False]]), 5, "two_tower with neighbours")


def test_a_target_without_a_score_is_an_error():
    with pytest.raises(DivergedError, match="ranker: the score of 1 of 2 targets is -inf"):
        metrics.target_ranks(np.array([[1.0, -INF], [1.0, -INF]]), np.array([0, 1]), "ranker")


@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=FEW), st.data())
def test_ranks_of_targets_are_scipys(scores, data):
    target = data.draw(arrays(np.int64, len(scores), elements=st.integers(0, scores.shape[1] - 1)))
    expected = rankdata(-scores, method="average", axis=1)[np.arange(len(scores)), target] - 1
    assert metrics.target_ranks(scores, target).tolist() == expected.tolist()


@given(st.lists(st.tuples(FEW, st.integers(0, 2)), min_size=1, max_size=40))
def test_ranks_in_groups_are_scipys(rows):
    scores, group = (np.array(column) for column in zip(*rows, strict=True))
    got = metrics.mean_ranks(scores, group)
    for number in np.unique(group):
        own = group == number
        assert got[own].tolist() == rankdata(scores[own], method="average").tolist()
