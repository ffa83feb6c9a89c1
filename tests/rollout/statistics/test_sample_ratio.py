"""Sample-ratio mismatch: against scipy, and how often equal shares are stopped in many looks."""

import numpy as np
import pytest
from scipy import stats

from cascade.core.errors import ConfigError, DataError
from cascade.rollout.statistics import sample_ratio as module
from cascade.rollout.statistics.sample_ratio import sample_ratio


def test_the_chi_squared_p_is_scipys():
    found = sample_ratio([[480, 520], [90, 110]], [0.5, 0.5])
    expected = [stats.chisquare(users).pvalue for users in ([480, 520], [90, 110])]
    np.testing.assert_allclose(found.chi_squared_p, expected)
    three = sample_ratio([10, 20, 70], [0.2, 0.2, 0.6])
    assert three.chi_squared_p == pytest.approx(stats.chisquare([10, 20, 70], [20, 20, 60]).pvalue)


def test_the_valid_p_is_a_ratio_of_scipys_probabilities(monkeypatch):
    monkeypatch.setattr(module, "CONCENTRATIONS", (10.0, 100.0))
    users, shares = [70, 30], np.array([0.5, 0.5])
    mixed = np.mean([stats.dirichlet_multinomial.pmf(users, size * shares, 100) for size in (10, 100)])
    assert sample_ratio(users, shares).p_value == pytest.approx(stats.multinomial.pmf(users, 100, shares) / mixed)


@pytest.mark.slow
@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.99, 0.01]])
def test_experiments_in_order_are_not_stopped_however_often_one_looks(shares):
    """10,000 runs of up to 40,000 users: more than 20 are stopped less often than once in 500 times if the true share
    is 0.1 %."""
    rng, stopped, by_chi_squared = np.random.default_rng(1), 0, 0
    for _ in range(10):
        found = sample_ratio(rng.multinomial(100, shares, (1000, 400)).cumsum(axis=1), shares)
        stopped += found.mismatch.any(axis=1).sum()
        by_chi_squared += (found.chi_squared_p < 0.001).any(axis=1).sum()
    print(f"{shares}: {stopped} of 10,000 runs stopped, {by_chi_squared} by a chi-squared test at every look")
    assert stopped <= 20 and by_chi_squared > 50


@pytest.mark.parametrize(
    ("users", "mismatch"),
    [([400, 100], True), ([20_000, 20_600], False), ([20_000, 21_000], True), ([1, 0], False), ([0, 0], False)],
)
def test_what_is_a_mismatch(users, mismatch):
    assert sample_ratio(users, [0.5, 0.5]).mismatch == mismatch


def test_without_users_nothing_is_known():
    found = sample_ratio([0, 0], [0.5, 0.5])
    assert found.p_value == 1 and np.isnan(found.chi_squared_p)


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match=r"shares: expected numbers above 0 with the sum 1, got \[0.5, 0.4\]"):
        sample_ratio([1, 2], [0.5, 0.4])
    with pytest.raises(DataError, match=r"users: expected 2 arms, got the shape \[3\]"):
        sample_ratio([1, 2, 3], [0.5, 0.5])
    with pytest.raises(DataError, match="users: expected numbers from 0, got -1.0"):
        sample_ratio([3, -1], [0.5, 0.5])
