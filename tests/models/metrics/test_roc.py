"""AUC by hand, and scikit-learn as the oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from cascade.core.errors import DivergedError
from cascade.models import metrics


def test_auc_by_hand():
    """Of the four pairs of a positive and a negative two are ordered rightly, and one is a tie."""
    score, label = np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, True, False, True])
    assert metrics.auc(score, label) == (3 + 1 / 2) / 4
    assert metrics.auc(-score, label) == (0 + 1 / 2) / 4
    assert metrics.auc(np.zeros(4), label) == 1 / 2


@pytest.mark.parametrize("label", [np.zeros(3, bool), np.ones(3, bool), np.zeros(0, bool)])
def test_no_auc_without_both_labels(label):
    assert metrics.auc(np.arange(len(label)), label) is None


def test_nan_is_an_error_that_names_model_and_epoch():
    with pytest.raises(DivergedError, match="ranker, epoch 4: 1 of 2 scores are NaN"):
        metrics.auc(np.array([0.5, np.nan]), np.array([True, False]), "ranker, epoch 4")


@given(st.lists(st.tuples(st.sampled_from([-2.0, 0.0, 0.1, 3.0]), st.booleans()), min_size=2, max_size=50))
def test_auc_is_scikit_learns(rows):
    score, label = (np.array(column) for column in zip(*rows, strict=True))
    got = metrics.auc(score, label)
    if got is None:
        assert len(np.unique(label)) == 1
    else:
        assert got == pytest.approx(roc_auc_score(label, score))
