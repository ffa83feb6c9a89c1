"""Ranks of held-out items among what a user has not seen."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.models.retriever.full_ranks import full_ndcg, rank_metrics, target_ranks
from cascade.models.training.rows import Events


def test_seen_items_do_not_count():
    vectors = np.array([[4.0], [3.0], [2.0], [1.0]], np.float32)
    events = Events(np.array([0, 1], np.int32), np.array([2, 2], np.int32), np.ones(2, np.float32), {})
    seen = csr_matrix(np.array([[True, False, False, False], [False, False, False, False]]))
    assert target_ranks(np.ones((2, 1), np.float32), vectors, events, seen).tolist() == [1, 2]


def test_full_ndcg_by_hand():
    assert full_ndcg(np.array([0, 2])) == pytest.approx((1 + 1 / 2) / 2)


def test_rank_metrics_by_hand():
    got = rank_metrics(np.array([0, 2, 50, 100]))
    assert got == {"recall@100": 0.75, "ndcg@10": pytest.approx((1 + 0.5) / 4)}
