"""Masking of ranked lists, and their metrics."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.evaluation import ranking_lists
from cascade.evaluation.ranking_lists import (
    coverage,
    drop,
    first_unseen,
    list_values,
    means,
    membership,
    retrieval_values,
)

RANKED = np.array([[3, 1, 0, -1], [2, 0, 1, 3]])


def test_membership_ignores_padding():
    rows = np.array([[1, -1], [0, 0]])
    assert membership(rows, 3).toarray().tolist() == [[False, True, False], [True, False, False]]


def test_drop_closes_gaps_and_pads():
    seen = csr_matrix(np.array([[0, 0, 0, 1], [1, 0, 0, 0]]))
    assert drop(RANKED, seen, 3).tolist() == [[1, 0, -1], [2, 1, 3]]
    assert drop(RANKED, seen, 6).tolist() == [[1, 0, -1, -1, -1, -1], [2, 1, 3, -1, -1, -1]]


@pytest.mark.parametrize("batch", [1, 2, 256])
def test_first_unseen_equals_drop_of_the_same_list_for_everybody(batch, monkeypatch):
    monkeypatch.setattr(ranking_lists, "BATCH", batch)
    rng = np.random.default_rng(0)
    seen, ordered = csr_matrix(rng.random((7, 12)) < rng.random((7, 1))), rng.permutation(12)[:9]
    for k in (1, 4, 15):
        assert first_unseen(ordered, seen, k).tolist() == drop(np.tile(ordered, (7, 1)), seen, k).tolist()


def test_lists_are_measured_as_means_over_users_and_coverage_ignores_padding():
    relevant = csr_matrix(np.array([[0, 1, 0, 0, 0], [1, 0, 0, 0, 1]]))
    got = means(list_values(RANKED, relevant)) | coverage(RANKED, 5)
    assert got["recall@10"] == pytest.approx(3 / 4)
    assert got["mrr@10"] == pytest.approx(1 / 2)
    assert got["map@10"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert got["coverage@10"] == 4 / 5


def test_retrieval_values_of_a_perfect_ranking():
    relevant = csr_matrix(np.array([[0, 1, 0, 1], [0, 0, 1, 0]]))
    got = means(retrieval_values(RANKED, relevant))
    assert set(got) == {"recall@10", "recall@20", "recall@100", "recall@200", "ndcg@10", "ndcg@20"}
    assert all(value == 1 for value in got.values())
