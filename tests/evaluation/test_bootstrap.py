"""Intervals over users: by hand, beside the normal approximation, and what they must hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from cascade.evaluation import bootstrap as module
from cascade.evaluation.bootstrap import Bootstrap


def test_a_draw_is_of_as_many_users_with_replacement():
    sums = Bootstrap(300).sums(np.eye(5))
    assert sums.shape == (300, 5) and (sums.sum(axis=1) == 5).all()
    assert sums.min() == 0 and sums.max() >= 3
    assert sums.mean() == pytest.approx(1) and np.abs(sums.mean(axis=0) - 1).max() < 0.25


def test_dense_and_sparse_are_drawn_alike_whatever_fits_at_once(monkeypatch):
    totals = np.random.default_rng(0).random((40, 3)) * (np.arange(3) > 0)
    expected = Bootstrap(150, seed=3).sums(totals)
    np.testing.assert_allclose(Bootstrap(150, seed=3).sums(csr_matrix(totals)), expected)
    monkeypatch.setattr(module, "AT_ONCE", 7)
    np.testing.assert_allclose(Bootstrap(150, seed=3).sums(totals), expected)
    assert not np.allclose(Bootstrap(150, seed=4).sums(totals), expected)


def test_the_mean_of_many_users_is_as_uncertain_as_its_standard_error():
    values = np.random.default_rng(1).exponential(size=(4000, 1))
    low, high = Bootstrap(2000).means(values)[0]
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.1 * error)


def test_the_middle_share_by_hand():
    boot = Bootstrap(level=0.8)
    assert boot.interval(5.0, np.arange(11.0)) == pytest.approx((1, 9))
    assert boot.interval(5.0, np.append(np.arange(11.0), np.nan)) == pytest.approx((1, 9))
    assert boot.interval(0.5, np.arange(11.0)) == pytest.approx((0.5, 9))


def test_users_who_are_alike_leave_no_doubt():
    assert Bootstrap(100).means(np.full((9, 2), 0.25)) == [(0.25, 0.25)] * 2


@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.integers(1, 4))
@settings(max_examples=40)
def test_it_holds_the_estimate_and_stays_within_the_values(seed, users, metrics):
    values = np.random.default_rng(seed).random((users, metrics))
    for (low, high), column in zip(Bootstrap(100, seed).means(values), values.T, strict=True):
        assert low <= column.mean() <= high
        assert column.min() - 1e-12 <= low and high <= column.max() + 1e-12


def test_about_nineteen_in_twenty_hold_the_truth():
    rng = np.random.default_rng(2)
    samples = rng.exponential(size=(200, 300, 1))
    held = [low <= 1 <= high for ((low, high),) in (Bootstrap(400, seed).means(s) for seed, s in enumerate(samples))]
    assert 0.90 <= np.mean(held) <= 0.99
