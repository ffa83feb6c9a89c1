"""Target encoding by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from cascade.workflows.tables.target_encoding import (
    columns_by_fold,
    draw_folds,
    mean_of_entries,
    out_of_fold,
    smoothed_mean,
)


def test_smoothed_mean_by_hand():
    got = smoothed_mean(np.array([3.0, 0.0, 0.0]), np.array([4, 4, 0]), 0.25, 4)
    assert got.tolist() == [(3 + 1) / 8, 1 / 8, 0.25]


def test_folds_are_drawn_from_the_seed():
    fold = draw_folds(1000, 4, seed=1)
    assert fold.tolist() == draw_folds(1000, 4, seed=1).tolist() != draw_folds(1000, 4, seed=2).tolist()
    assert np.bincount(fold, minlength=4).min() > 200


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_row_is_encoded_by_the_rows_of_the_other_folds(seed):
    """Rows of several codes, one of them twice, beside loops."""
    rng = np.random.default_rng(seed)
    times, label, fold = rng.integers(0, 3, (12, 4)), rng.random(12), rng.integers(0, 3, 12)
    rows, codes = np.nonzero(times)
    entries = csr_matrix((times[rows, codes].astype(float), (rows, codes)), shape=times.shape)
    columns = columns_by_fold(entries, fold, 3)
    sums = (columns.T @ np.stack([label, np.ones(12)], axis=1)).reshape(3, 4, 2)
    others = out_of_fold(sums)
    for number in range(3):
        known = fold != number
        np.testing.assert_allclose(others[number, :, 0], times[known].T @ label[known])
        np.testing.assert_allclose(others[number, :, 1], times[known].sum(axis=0))
    got = columns @ smoothed_mean(others[..., 0], others[..., 1], label.mean(), 2).ravel()
    for row in range(12):
        known = fold != fold[row]
        rate = (times[known].T @ label[known] + 2 * label.mean()) / (times[known].sum(axis=0) + 2)
        assert got[row] == pytest.approx(times[row] @ rate)


def test_a_list_is_the_mean_of_its_entries():
    entries = csr_matrix(np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]))
    assert mean_of_entries(entries, np.array([9.0, 2.0, 4.0])).tolist() == [3, 4, 0]
    table = np.array([[9.0, 9.0], [2.0, 20.0], [4.0, 40.0]])
    assert mean_of_entries(entries, table).tolist() == [[3, 30], [4, 40], [0, 0]]
