"""Ranks of held-out items among what a user has not seen."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.core.errors import DivergedError
from cascade.models.retriever.full_ranks import full_ranks, rank_metrics
from cascade.models.training.rows import Events

VECTORS = np.array([[4.0], [3.0], [2.0], [1.0]], np.float32)
EVENTS = Events(np.array([0, 1], np.int32), np.array([2, 2], np.int32), np.ones(2, np.float32), {})
SEEN = csr_matrix(np.array([[True, False, False, False], [False, False, False, False]]))


def queries():
    return np.ones((2, 1), np.float32)


def test_seen_items_do_not_count():
    assert full_ranks(queries(), VECTORS, EVENTS, SEEN).tolist() == [1, 2]


def test_items_that_tie_share_the_mean_of_their_ranks():
    """Item 2 ties with items 1 and 3; user 0 has seen item 0, and user 2 item 2 itself."""
    vectors = np.array([[4.0], [2.0], [2.0], [2.0]], np.float32)
    events = Events(np.array([0, 1, 2], np.int32), np.full(3, 2, np.int32), np.ones(3, np.float32), {})
    seen = csr_matrix(np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]], bool))
    got = full_ranks(np.ones((3, 1), np.float32), vectors, events, seen)
    assert got.tolist() == [1, 2, 1.5]


def test_nan_vectors_are_an_error_that_names_model_and_epoch():
    vectors = VECTORS.copy()
    vectors[3] = np.nan
    with pytest.raises(DivergedError, match="two_tower, epoch 2: 2 of 8 scores are NaN"):
        full_ranks(queries(), vectors, EVENTS, SEEN, "two_tower, epoch 2")


def test_rank_metrics_by_hand():
    got = rank_metrics(np.array([0, 2, 50, 100]))
    assert got == {"recall@100": 0.75, "ndcg@10": pytest.approx((1 + 0.5) / 4)}
