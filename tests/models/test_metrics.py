"""Hand-computed numbers, and scikit-learn as the oracle for NDCG."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.metrics import ndcg_score

from cascade.models import metrics

# user 0: two of its three relevant items at ranks 1 and 3; user 1: its one relevant item not found
HITS = np.array([[True, False, True, False], [False, False, False, False]])
RELEVANT = np.array([3, 1])


def test_find_hits_ignores_padding():
    relevant = csr_matrix(np.array([[1, 0, 0, 1], [0, 1, 0, 0]]))
    hits, counts = metrics.find_hits(np.array([[3, 1, -1], [0, 1, 2]]), relevant)
    assert hits.tolist() == [[True, False, False], [False, True, False]]
    assert counts.tolist() == [2, 1]


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


def test_calibration_and_ece():
    probability, label = np.array([0.1, 0.9, 0.3, 0.7]), np.array([0, 1, 1, 1])
    predicted, observed, rows = metrics.calibration(probability, label, bins=2)
    assert predicted.tolist() == pytest.approx([0.2, 0.8])
    assert observed.tolist() == [0.5, 1]
    assert rows.tolist() == [2, 2]
    assert metrics.ece(probability, label, bins=2) == pytest.approx((0.3 + 0.2) / 2)


def test_ece_with_fewer_rows_than_bins():
    assert metrics.ece(np.array([0.25]), np.array([1])) == pytest.approx(0.75)


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6).filter(any), min_size=1, max_size=5), st.integers(1, 6))
def test_ndcg_equals_scikit_learn(rows, k):
    hits = np.array(rows)
    scores = np.tile(np.arange(6, 0, -1), (len(hits), 1))
    mine = metrics.ndcg(hits, hits.sum(axis=1), k).mean()
    assert mine == pytest.approx(ndcg_score(hits, scores, k=k))
