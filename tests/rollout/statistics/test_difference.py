"""The difference of two arms: against scipy, by hand, and against what simulated users do."""

import numpy as np
import pytest
from scipy import stats

from cascade.core.errors import DataError
from cascade.rollout.statistics.difference import difference
from cascade.rollout.statistics.user_sums import UserSums


def test_a_difference_of_means_has_the_variance_of_welch():
    rng = np.random.default_rng(0)
    control, candidate = rng.normal(5, 1, 300), rng.normal(6, 2, 300)
    found = difference(UserSums.of(control), UserSums.of(candidate))
    welch = stats.ttest_ind(candidate, control, equal_var=False)
    assert found.value / np.sqrt(found.variance) == pytest.approx(welch.statistic)
    assert found.lift == pytest.approx(candidate.mean() / control.mean() - 1)


def test_a_ratio_by_hand():
    # clicks 1 and 3 of 2 and 4 shown: 4 / 6; x - R n is -1/3 and 1/3 with the variance 2/9; over 3^2 and 2 users: 1/81
    arm = UserSums.of([1, 3], [2, 4])
    found = difference(arm, arm)
    assert found.control == pytest.approx(2 / 3) and found.value == 0
    assert found.variance == pytest.approx(2 / 81)


def test_the_variance_of_a_ratio_is_that_of_simulated_users():
    rng = np.random.default_rng(1)
    shown = 1 + rng.poisson(4, (2, 500, 200))
    clicks = rng.binomial(shown, rng.beta(2, 18, shown.shape))
    arms = [
        UserSums(
            np.full(500, 200.0),
            np.stack([c.sum(1), s.sum(1)], -1) * 1.0,
            np.stack(
                [np.stack([(c * c).sum(1), (c * s).sum(1)], -1), np.stack([(c * s).sum(1), (s * s).sum(1)], -1)], -2
            )
            * 1.0,
            ratio=True,
        )
        for c, s in zip(clicks, shown, strict=True)
    ]
    found = difference(*arms)
    assert found.variance.mean() == pytest.approx(found.value.var(), rel=0.2)


def test_a_small_arm_without_a_large_value_is_not_sure_of_itself():
    rng = np.random.default_rng(2)
    control = np.where(rng.random(20_000) < 0.001, 1000.0, rng.random(20_000))
    small = rng.random(200)  # no large value yet
    found = difference(UserSums.of(control), UserSums.of(small))
    assert found.variance == pytest.approx(control.var() / 200, rel=0.05)


def test_without_users_or_impressions_nothing_is_known():
    some, none = UserSums.of([1, 2], [3, 4]), UserSums.of([], [])
    for found in (difference(some, none), difference(none, none), difference(some, UserSums.of([0, 0], [0, 0]))):
        assert np.isnan(found.value) and np.isnan(found.variance)


def test_arms_count_the_same_columns():
    with pytest.raises(DataError, match="expected the same columns"):
        difference(UserSums.of([1, 2]), UserSums.of([1, 2], [1, 2]))


def test_many_comparisons_at_once_are_those_of_each():
    rng = np.random.default_rng(4)
    users = rng.poisson(2.0, (2, 3, 100, 4)) + np.array([0, 1, 0, 0])
    arms = [[UserSums.of(u[:, 0], u[:, 1], u[:, 2:]) for u in arm] for arm in users]
    together = [
        UserSums(*(np.stack([getattr(one, part) for one in arm]) for part in ("users", "sums", "products")), ratio=True)
        for arm in arms
    ]
    found = difference(*together)
    for at, pair in enumerate(zip(*arms, strict=True)):
        one = difference(*pair)
        np.testing.assert_allclose(found.value[at], one.value)
        np.testing.assert_allclose(found.variance[at], one.variance)
        np.testing.assert_allclose(found.lift[at], one.lift)
