"""The bars of A/B tests with 400 looks: equal arms, and an effect of +5 % (see tests/benchmarks/ab_tests.py)."""

import sys

import pytest
from shipping import ROOT

sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))

import ab_tests  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "name",
    [
        "one impression",
        "rate 0.1 %, planned for 1,000",
        "revenue, log-normal",
        "revenue, shares 1 : 19",
        "3 impressions",
        "2,000 users who come again and again",
    ],
)
def test_at_most_5_percent_of_1000_equal_arms_are_declared_different(name):
    found, _ = ab_tests.declared(ab_tests.SETTINGS[name], runs=1000, factor=1.0, seed=7)
    assert found.mean() <= 0.05


@pytest.mark.parametrize("name", ["5 impressions", "1 + 5 impressions, unlike users, CUPED"])
def test_an_effect_of_5_percent_is_found_in_80_percent(name):
    found, _ = ab_tests.declared(ab_tests.SETTINGS[name], runs=100, factor=1.05, seed=8)
    assert found.mean() >= 0.8
