"""Always-valid tests: by numerical integration, by hand, and on equal arms with many looks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from cascade.core.errors import ConfigError
from cascade.rollout.statistics.difference import ArmDifference
from cascade.rollout.statistics.sequential import MIN_USERS, always_valid


def found(value, variance, users=1000.0):
    value, variance, users = (np.asarray(part, float) for part in (value, variance, users))
    return ArmDifference(np.ones_like(value), value, variance, users, users)


def test_the_p_value_is_one_over_the_mixed_likelihood_ratio():
    value, variance, planned = 0.05, 0.0002, 2000.0
    level = -2 * np.log(0.05)
    tau2 = variance * (level + np.log(1 + level)) * 1000 / planned

    def weighed(effect):
        ratio = stats.norm.pdf(value, effect, variance**0.5) / stats.norm.pdf(value, 0, variance**0.5)
        return ratio * stats.norm.pdf(effect, 0, tau2**0.5)

    mixed = quad(weighed, -1, 1, points=[0, value], limit=200)[0]
    assert always_valid(found(value, variance), planned).p_value == pytest.approx(1 / mixed, rel=1e-6)


def test_by_hand():
    # at the planned users r = 5.9915 + log(6.9915) = 7.9362; the radius is sqrt((1 + 1/r) (log(1 + r) + 5.9915)) errors
    got = always_valid(found(0.0, 1.0), planned_users=1000)
    assert (got.low, got.high) == pytest.approx((-3.0352, 3.0352), abs=1e-4)
    assert got.p_value == 1 and got.decision == "hold"


@given(st.floats(-1, 1), st.floats(1e-4, 1), st.integers(MIN_USERS, 10**6), st.floats(0.001, 0.2))
def test_different_means_that_the_interval_excludes_zero(value, variance, users, alpha):
    got = always_valid(found(value, variance, users), planned_users=5000, alpha=alpha)
    excluded = got.low > 0 or got.high < 0
    edge = min(abs(got.low), abs(got.high)) < 1e-9
    assert edge or (got.decision == "different") == excluded == (got.p_value <= alpha)
    assert got.low <= value <= got.high and 0 <= got.p_value <= 1


def test_looks_are_answered_in_one_call():
    got = always_valid(found(np.zeros((3, 4)), np.ones((3, 4)), np.full((3, 4), 500.0)), 1000)
    assert got.p_value.shape == got.low.shape == got.decision.shape == (3, 4)


def test_too_few_users_and_unknown_values_hold():
    got = always_valid(found([9, np.nan, 9], [1e-9, 1, np.nan], [MIN_USERS - 1, 1000, 1000]), 1000)
    assert got.decision.tolist() == ["hold"] * 3 and got.p_value.tolist() == [1] * 3
    assert np.isinf(got.low).all() and np.isinf(got.high).all()


def test_arms_without_any_variance():
    got = always_valid(found([0.0, 1.0], [0.0, 0.0]), 1000)
    assert got.decision.tolist() == ["hold", "different"]


def test_equal_arms_are_rarely_declared_different_in_many_looks():
    """Brownian motion is the limit of all differences; a test for one look would declare more than 40 %."""
    rng = np.random.default_rng(0)
    users = np.arange(100, 40_001, 100) * 1.0
    walk = rng.normal(size=(2000, len(users))).cumsum(axis=1) * 10 * np.sqrt(2)
    differences = ArmDifference(np.ones(len(users)), walk / users, np.broadcast_to(2 / users, walk.shape), users, users)
    assert (always_valid(differences, 40_000).decision == "different").any(axis=1).mean() <= 0.05
    assert (always_valid(differences, 2000).decision == "different").any(axis=1).mean() <= 0.05
    assert (np.abs(walk / users) > 1.96 * np.sqrt(2 / users)).any(axis=1).mean() > 0.4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"planned_users": 0}, "planned_users: expected a number above 0, got 0"),
        ({"planned_users": 10, "alpha": 1.0}, "alpha: expected a number above 0 and below 1, got 1.0"),
        ({"planned_users": 10, "min_users": 1}, "min_users: expected at least 2, got 1"),
    ],
)
def test_settings_that_cannot_work_are_named(wrong, message):
    with pytest.raises(ConfigError, match=message):
        always_valid(found(0.0, 1.0), **wrong)
