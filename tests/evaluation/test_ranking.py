"""The ranker's metrics, checked by hand."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.evaluation.ranking import RankedRows, labelled, ranking_metrics


def rows(logits, label, users):
    users = np.array(users)
    return RankedRows(logits, np.array(label), users, np.arange(len(users)), np.arange(len(users)))


def test_candidates_are_labelled_and_padding_is_left_out():
    candidates = np.array([[2, 0, -1], [1, -1, -1]])
    logits = np.array([[1, 2, -np.inf], [3, -np.inf, -np.inf]], np.float32)
    relevant = csr_matrix(np.array([[1, 0, 0], [1, 0, 0]], bool))
    got, label, requests, items = labelled(candidates, logits, relevant)
    assert got.tolist() == [1, 2, 3]
    assert label.tolist() == [False, True, False]
    assert requests.tolist() == [0, 0, 1]
    assert items.tolist() == [2, 0, 1]


def test_ranking_metrics_by_hand():
    logits = np.log(np.array([3, 1, 1 / 3], np.float32))  # probabilities 3/4, 1/2, 1/4
    got = ranking_metrics(rows(logits, [True, False, True], [4, 4, 9]))
    assert got["auc"] == pytest.approx(0.5)
    assert got["logloss"] == pytest.approx(-(np.log(3 / 4) + np.log(1 / 2) + np.log(1 / 4)) / 3)
    assert got["ece"] == pytest.approx((1 / 4 + 1 / 2 + 3 / 4) / 3)
    assert got["gauc"] == 1  # user 9 has no negative


def test_the_auc_of_a_single_class_is_none():
    got = ranking_metrics(rows(np.zeros(2, np.float32), [False, False], [0, 1]))
    assert got["auc"] is None and got["gauc"] is None
    assert got["logloss"] == pytest.approx(np.log(2))
