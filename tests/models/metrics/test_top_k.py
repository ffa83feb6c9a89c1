"""Hand-computed numbers, and scikit-learn as the oracle for NDCG."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.metrics import ndcg_score

from cascade.models import metrics
from cascade.models.metrics import top_k

# user 0: two of its three relevant items at ranks 1 and 3; user 1: its one relevant item not found
HITS = np.array([[True, False, True, False], [False, False, False, False]])
RELEVANT = np.array([3, 1])


def test_find_hits_ignores_padding():
    relevant = csr_matrix(np.array([[1, 0, 0, 1], [0, 1, 0, 0]]))
    hits, counts = metrics.find_hits(np.array([[3, 1, -1], [0, 1, 2]]), relevant)
    assert hits.tolist() == [[True, False, False], [False, True, False]]
    assert counts.tolist() == [2, 1]


def test_find_hits_in_blocks_finds_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    relevant, ranked = csr_matrix(rng.random((11, 20)) < 0.3), rng.integers(-1, 20, (11, 5))
    at_once, counts = metrics.find_hits(ranked, relevant)
    monkeypatch.setattr(top_k, "AT_ONCE", 4)
    in_blocks, again = metrics.find_hits(ranked, relevant)
    assert np.array_equal(in_blocks, at_once) and np.array_equal(again, counts)
    assert 0 < at_once.sum() < at_once.size


def test_recall():
    assert metrics.recall(HITS, RELEVANT, 1).tolist() == pytest.approx([1 / 3, 0])
    assert metrics.recall(HITS, RELEVANT, 4).tolist() == pytest.approx([2 / 3, 0])


def test_ndcg():
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert metrics.ndcg(HITS, RELEVANT, 4).tolist() == pytest.approx([(1 + 1 / np.log2(4)) / ideal, 0])
    assert metrics.ndcg(HITS, RELEVANT, 1).tolist() == pytest.approx([1, 0])


def test_a_list_shorter_than_k_counts_as_misses():
    assert metrics.ndcg(HITS, RELEVANT, 9).tolist() == pytest.approx(metrics.ndcg(HITS, RELEVANT, 4).tolist())
    assert metrics.average_precision(HITS, RELEVANT, 9)[0] == pytest.approx((1 + 2 / 3) / 3)


def test_average_precision():
    assert metrics.average_precision(HITS, RELEVANT, 4).tolist() == pytest.approx([(1 + 2 / 3) / 3, 0])
    assert metrics.average_precision(HITS, RELEVANT, 2)[0] == pytest.approx(1 / 2)


def test_reciprocal_rank():
    late = np.array([[False, False, True]])
    assert metrics.reciprocal_rank(HITS, 4).tolist() == [1, 0]
    assert metrics.reciprocal_rank(late, 3).tolist() == pytest.approx([1 / 3])
    assert metrics.reciprocal_rank(late, 2).tolist() == [0]


def test_one_relevant_item_by_its_rank():
    ranks = np.array([0, 2, 9.5, 50, np.inf])
    assert metrics.target_recall(ranks, 10).tolist() == [1, 1, 1, 0, 0]
    expected = [1, 1 / 2, 1 / np.log2(11.5), 1 / np.log2(52), 0]
    assert metrics.target_ndcg(ranks).tolist() == pytest.approx(expected)
    assert metrics.target_ndcg(ranks, 10).tolist() == pytest.approx([*expected[:3], 0, 0])
    assert metrics.target_ndcg(np.array([0, 2])).mean() == pytest.approx((1 + 1 / 2) / 2)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=9), st.integers(1, 7))
def test_one_relevant_item_is_a_list_with_one_hit(ranks, k):
    hits, one = np.array(ranks)[:, None] == np.arange(8), np.ones(len(ranks), np.int64)
    assert metrics.target_recall(np.array(ranks), k).tolist() == metrics.recall(hits, one, k).tolist()
    assert metrics.target_ndcg(np.array(ranks), k).tolist() == metrics.ndcg(hits, one, k).tolist()


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6).filter(any), min_size=1, max_size=5), st.integers(1, 6))
def test_ndcg_equals_scikit_learn(rows, k):
    hits = np.array(rows)
    scores = np.tile(np.arange(6, 0, -1), (len(hits), 1))
    mine = metrics.ndcg(hits, hits.sum(axis=1), k).mean()
    assert mine == pytest.approx(ndcg_score(hits, scores, k=k))


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_ndcg_of_scores_is_that_of_their_order(seed, k):
    rng = np.random.default_rng(seed)
    scores = np.array([rng.permutation(8) for _ in range(3)], np.float32)
    relevant = rng.random(scores.shape) < 0.3
    relevant[:, 0] = True
    order = np.argsort(-scores, axis=1)
    expected = metrics.ndcg(*metrics.find_hits(order, csr_matrix(relevant)), k)
    np.testing.assert_allclose(metrics.scored_ndcg(scores, csr_matrix(relevant), k), expected)


def test_scores_that_tie_have_the_ndcg_of_their_mean_rank():
    got = metrics.scored_ndcg(np.ones((1, 5)), csr_matrix([[True, False, False, False, False]]), 5)
    assert got.tolist() == [0.5]  # rank 2 of 0 to 4
