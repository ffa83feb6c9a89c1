"""Sums over users: against numpy, added up in any order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.errors import DataError
from cascade.rollout.statistics.user_sums import UserSums

RNG = np.random.default_rng(0)
CLICKS, SHOWN = RNG.poisson(1.0, 50).astype(float), 1.0 + RNG.poisson(3.0, 50)


def test_means_and_covariances_are_numpys():
    found = UserSums.of(CLICKS, SHOWN, RNG.normal(size=(50, 2)))
    assert found.users == 50 and found.ratio and found.outcomes == 2
    columns = np.stack([CLICKS, SHOWN])
    np.testing.assert_allclose(found.means[:2], columns.mean(axis=1))
    np.testing.assert_allclose(found.covariance[:2, :2], np.cov(columns))


def test_by_hand():
    found = UserSums.of([1, 3])
    assert found.means.tolist() == [2] and found.covariance.tolist() == [[2]]


def test_totals_that_others_have_added_up_are_the_same():
    ours, theirs = UserSums.of(CLICKS), UserSums.of_totals([50], [CLICKS.sum()], [(CLICKS**2).sum()])
    np.testing.assert_allclose(theirs.covariance[0], ours.covariance)
    np.testing.assert_allclose(theirs.means[0], ours.means)


@given(st.integers(1, 49))
def test_parts_add_up_and_can_be_taken_away(cut):
    whole = UserSums.of(CLICKS, SHOWN)
    first, second = UserSums.of(CLICKS[:cut], SHOWN[:cut]), UserSums.of(CLICKS[cut:], SHOWN[cut:])
    for got, expected in ((first + second, whole), (whole - second, first)):
        assert got.users == expected.users
        np.testing.assert_allclose(got.sums, expected.sums)
        np.testing.assert_allclose(got.products, expected.products)


def test_a_user_whose_total_has_grown_is_counted_again():
    before = UserSums.of([1, 3])
    assert (before + UserSums.of([4]) - UserSums.of([3])).covariance.tolist() == UserSums.of([1, 4]).covariance.tolist()


def test_too_few_users_have_no_mean_or_covariance():
    none, one = UserSums.of([]), UserSums.of([3.0])
    assert np.isnan(none.means).all() and np.isnan(none.covariance).all()
    assert one.means.tolist() == [3] and np.isnan(one.covariance).all()


def test_what_cannot_be_is_named():
    with pytest.raises(DataError, match=r"values, user 1: expected a finite number, got nan"):
        UserSums.of([1, np.nan])
    with pytest.raises(DataError, match=r"per: expected one number for each of 2 users, got the shape \[3\]"):
        UserSums.of([1, 2], [1, 2, 3])
    with pytest.raises(DataError, match=r"covariates\[:, 1\], user 0: expected a finite number, got inf"):
        UserSums.of([1.0], covariates=[[0, np.inf]])
    with pytest.raises(DataError, match=r"expected at least total\^2 / users, got users 2, total 4, squares 7"):
        UserSums.of_totals([2, 2], [4, 4], [8, 7])
    with pytest.raises(DataError, match="expected the same columns, got 1 columns, ratio False and 2 columns"):
        UserSums.of([1]) + UserSums.of([1], [1])
