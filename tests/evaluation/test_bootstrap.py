"""Intervals over users: by hand, against the normal approximation, and their properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from cascade.evaluation import bootstrap as module
from cascade.evaluation.bootstrap import Bootstrap


def test_a_draw_has_as_many_users_with_replacement():
    sums = Bootstrap(300).sums(np.eye(5))
    assert sums.shape == (300, 5) and (sums.sum(axis=1) == 5).all()
    assert sums.min() == 0 and sums.max() >= 3
    assert sums.mean() == pytest.approx(1) and np.abs(sums.mean(axis=0) - 1).max() < 0.25


def test_draws_do_not_depend_on_sparsity_or_chunk_size(monkeypatch):
    totals = np.random.default_rng(0).random((40, 3)) * (np.arange(3) > 0)
    expected = Bootstrap(150, seed=3).sums(totals)
    np.testing.assert_allclose(Bootstrap(150, seed=3).sums(csr_matrix(totals)), expected)
    monkeypatch.setattr(module, "AT_ONCE", 7)
    np.testing.assert_allclose(Bootstrap(150, seed=3).sums(totals), expected)
    assert not np.allclose(Bootstrap(150, seed=4).sums(totals), expected)


def test_the_interval_of_a_mean_agrees_with_its_standard_error():
    values = np.random.default_rng(1).exponential(size=(4000, 1))
    low, high = Bootstrap(2000).means(values)[0]
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.1 * error)


def test_the_middle_quantiles_by_hand():
    boot = Bootstrap(level=0.8)
    assert boot.interval(5.0, np.arange(11.0)) == pytest.approx((1, 9))
    assert boot.interval(5.0, np.append(np.arange(11.0), np.nan)) == pytest.approx((1, 9))
    assert boot.interval(0.5, np.arange(11.0)) == pytest.approx((0.5, 9))


def test_equal_users_give_an_interval_of_width_0():
    assert Bootstrap(100).means(np.full((9, 2), 0.25)) == [(0.25, 0.25)] * 2


@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.integers(1, 4))
@settings(max_examples=40)
def test_an_interval_contains_the_estimate_and_lies_within_the_values(seed, users, metrics):
    values = np.random.default_rng(seed).random((users, metrics))
    for (low, high), column in zip(Bootstrap(100, seed).means(values), values.T, strict=True):
        assert low <= column.mean() <= high
        assert column.min() - 1e-12 <= low and high <= column.max() + 1e-12


def test_about_95_percent_of_the_intervals_contain_the_true_mean():
    rng = np.random.default_rng(2)
    samples = rng.exponential(size=(200, 300, 1))
    held = [low <= 1 <= high for ((low, high),) in (Bootstrap(400, seed).means(s) for seed, s in enumerate(samples))]
    assert 0.90 <= np.mean(held) <= 0.99
