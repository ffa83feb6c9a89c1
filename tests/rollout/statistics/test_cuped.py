"""CUPED: against least squares, with users who have no pre-period."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.core.errors import DataError
from cascade.rollout.statistics.cuped import coefficients, pre_period
from cascade.rollout.statistics.difference import difference
from cascade.rollout.statistics.user_sums import UserSums

USERS = 400


def arms(seed=0, known=1.0):
    """The values [2, U] of two arms, and numbers [2, U] from before with a correlation of 0.8."""
    rng = np.random.default_rng(seed)
    before = rng.normal(10, 2, (2, USERS))
    values = before * 0.8 + rng.normal(0, 1.2, before.shape) + np.array([[0], [0.1]])
    return values, np.where(rng.random(before.shape) < known, before, np.nan)


def sums(values, before):
    return [UserSums.of(v, covariates=pre_period(b)) for v, b in zip(values, before, strict=True)]


@pytest.mark.parametrize("known", [1.0, 0.6])
def test_the_difference_is_that_of_least_squares(known):
    values, before = arms(known=known)
    covariates = np.concatenate([pre_period(b) for b in before])
    arm = np.repeat([0.0, 1.0], USERS)
    design = np.column_stack([np.ones(2 * USERS), arm, covariates])
    fitted = np.linalg.lstsq(design, values.ravel(), rcond=None)[0]  # the indicator of all is the constant column
    assert difference(*sums(values, before)).value == pytest.approx(fitted[1])


def test_the_variance_falls_by_the_squared_correlation():
    values, before = arms()
    plain = difference(*(UserSums.of(v) for v in values))
    adjusted = difference(*sums(values, before))
    correlation = np.mean([np.corrcoef(v, b)[0, 1] for v, b in zip(values, before, strict=True)])
    assert adjusted.variance == pytest.approx(plain.variance * (1 - correlation**2), rel=0.01)
    assert adjusted.control == pytest.approx(plain.control)


@given(st.floats(-100, 100))
@settings(max_examples=20)
def test_what_is_filled_in_for_an_unknown_pre_period_does_not_matter(fill):
    values, before = arms(known=0.6)
    expected = difference(*sums(values, before))
    filled = [np.where(pre_period(b)[:, 1:] > 0, pre_period(b), [[fill, 0]]) for b in before]
    got = difference(*(UserSums.of(v, covariates=c) for v, c in zip(values, filled, strict=True)))
    assert got.value == pytest.approx(expected.value, abs=1e-6)
    assert got.variance == pytest.approx(expected.variance, rel=1e-6)


def test_another_level_of_users_without_a_pre_period_is_taken_off():
    values, before = arms(known=0.6)
    values = values + 50 * np.isnan(before)
    assert difference(*sums(values, before)).variance < 2 * difference(*sums(*arms(known=0.6))).variance


def test_without_any_pre_period_nothing_changes():
    values, before = arms(known=0.0)
    plain, found = difference(*(UserSums.of(v) for v in values)), difference(*sums(values, before))
    assert (found.value, found.variance) == pytest.approx((plain.value, plain.variance))


def test_columns_that_say_the_same_count_once():
    values, before = arms()
    once = difference(*sums(values, before))
    twice = difference(*sums(values, np.stack([before, 3 * before], axis=-1)))
    assert twice.value == pytest.approx(once.value) and twice.variance == pytest.approx(once.variance)


def test_a_ratio_is_adjusted_as_its_linear_form():
    rng = np.random.default_rng(3)
    rates, shown = rng.beta(1, 9, (2, USERS)), 1 + rng.poisson(5, (2, USERS))
    clicks, before = rng.binomial(shown, rates), rng.binomial(20, rates)
    plain = difference(*(UserSums.of(c, s) for c, s in zip(clicks, shown, strict=True)))
    ratio = [UserSums.of(c, s, pre_period(b)) for c, s, b in zip(clicks, shown, before, strict=True)]
    linear = (clicks - clicks.sum(1, keepdims=True) / shown.sum(1, keepdims=True) * shown) / shown.mean(
        1, keepdims=True
    )
    found, expected = difference(*ratio), difference(*sums(linear, before))
    assert found.value == pytest.approx(plain.value + expected.value)
    assert found.variance == pytest.approx(expected.variance) and found.variance < 0.8 * plain.variance


def test_theta_by_hand():
    arm = UserSums.of([1, 2, 3], covariates=[[2], [4], [6]])
    assert coefficients([arm, arm], [np.ones(1)] * 2).tolist() == [pytest.approx(0.5)]


def test_infinite_numbers_are_named():
    with pytest.raises(DataError, match="before, user 1: expected a finite number, or NaN for none, got inf"):
        pre_period([1, np.inf])
