"""IPS and SNIPS by hand, and on a simulation with a known true value."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.core.errors import DataError
from cascade.evaluation.bootstrap import Bootstrap
from cascade.evaluation.off_policy import PolicyLog, ips, snips

HAND = PolicyLog.of([0.5, 0.25, 0.5], [0.25, 0.75, 0.0], [1, 1, 0])  # weights 0.5, 3, 0
LOGGING = np.array([0.5, 0.3, 0.15, 0.05])
NEW = np.array([0.1, 0.2, 0.3, 0.4])
REWARD = np.array([0.1, 0.2, 0.5, 0.4])
TRUTH = float(NEW @ REWARD)


def simulate(seed, n=5000):
    """A log of items shown by the logging policy, and whether they were clicked."""
    rng = np.random.default_rng(seed)
    shown = rng.choice(4, n, p=LOGGING)
    return PolicyLog.of(LOGGING[shown], NEW[shown], rng.random(n) < REWARD[shown])


def test_by_hand():
    got = ips(HAND)
    assert got.value == pytest.approx((0.5 + 3) / 3)
    assert got.effective_rows == pytest.approx(3.5**2 / (0.25 + 9)) and got.clipped == 0
    assert snips(HAND).value == pytest.approx(1.0)


def test_clipping_by_hand():
    got = ips(HAND, clip=2)
    assert (got.value, got.clipped) == (pytest.approx((0.5 + 2) / 3), pytest.approx(1 / 3))
    assert ips(HAND, clip=3) == ips(HAND)


def test_the_logging_policy_itself_has_the_mean_reward():
    rng = np.random.default_rng(0)
    propensity, reward = rng.uniform(0.1, 1, 400), rng.random(400)
    log = PolicyLog.of(propensity, propensity, reward)
    assert ips(log).value == pytest.approx(reward.mean()) == snips(log).value
    assert ips(log).effective_rows == pytest.approx(400)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [ips, snips])
def test_estimates_are_unbiased_and_intervals_contain_the_true_value(estimator):
    got = [estimator(simulate(seed), bootstrap=Bootstrap(200, seed)) for seed in range(200)]
    values = np.array([each.value for each in got])
    assert abs(values.mean() - TRUTH) < 3 * values.std() / np.sqrt(len(values)) + 1e-3
    held = np.mean([each.low <= TRUTH <= each.high for each in got])
    assert 0.88 <= held <= 0.99


@pytest.mark.slow
def test_clipping_trades_bias_for_variance():
    free, clipped = ([ips(simulate(seed), clip, Bootstrap(100)) for seed in range(100)] for clip in (None, 2.0))
    assert np.std([e.value for e in clipped]) < 0.7 * np.std([e.value for e in free])
    assert np.mean([e.value for e in clipped]) < TRUTH - 0.05
    assert clipped[0].clipped == pytest.approx(0.05, abs=0.02)  # the item with probabilities 0.05 and 0.4


def test_snips_shifts_with_a_constant_added_to_all_rewards():
    log = simulate(1)
    more = PolicyLog.of(log.propensity, log.new_propensity, log.reward + 10)
    assert snips(more).value - snips(log).value == pytest.approx(10)
    assert ips(more).value - ips(log).value != pytest.approx(10, abs=1e-3)


def test_rows_of_a_user_are_drawn_together():
    log = simulate(2, 1000)
    twenty = PolicyLog.of(
        log.propensity, log.new_propensity, np.repeat(np.arange(50) % 2, 20), np.repeat(range(50), 20)
    )
    rows = PolicyLog.of(log.propensity, log.new_propensity, twenty.reward)
    together, apart = (ips(each, bootstrap=Bootstrap(500)) for each in (twenty, rows))
    assert together.value == pytest.approx(apart.value)
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(0.5, 50))
@settings(max_examples=30)
def test_estimates_lie_in_their_interval_and_do_not_depend_on_the_order_of_rows(seed, n, clip):
    rng = np.random.default_rng(seed)
    columns = rng.uniform(0.01, 1, n), rng.uniform(0.01, 1, n), rng.random(n)
    order = rng.permutation(n)
    for estimator in (ips, snips):
        got = estimator(PolicyLog.of(*columns), clip, Bootstrap(100))
        assert got.low <= got.value <= got.high
        assert 1 - 1e-9 <= got.effective_rows <= n + 1e-9
        mixed = estimator(PolicyLog.of(*(column[order] for column in columns)), clip, Bootstrap(100))
        assert mixed.value == pytest.approx(got.value)
    assert columns[2].min() - 1e-9 <= got.value <= columns[2].max() + 1e-9  # SNIPS is a weighted mean


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0.5, 0.0], [0.1, 0.1], [1, 1]), "propensity, row 1: 0, expected above 0, at most 1"),
        (([0.5, 0.5], [1.5, 0.1], [1, 1]), "new_propensity, row 0: 1.5, expected from 0 to 1"),
        (([0.5, 0.5], [0.5, 0.1], [1, float("nan")]), "reward, row 1: nan, expected a finite number"),
        (([], [], []), "no rows"),
    ],
)
def test_invalid_values_are_an_error(columns, message):
    with pytest.raises(DataError, match=message):
        PolicyLog.of(*columns)


def test_a_policy_that_shows_nothing_of_the_log_is_an_error():
    with pytest.raises(DataError, match="new_propensity: all are 0"):
        ips(PolicyLog.of([0.5], [0.0], [1]))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_log_is_read_from_a_file(tmp_path, kind):
    columns = {"propensity": [0.5, 0.2], "new_propensity": [0.1, 0.1], "reward": [1, 0], "user_id": ["b", "a"]}
    file = tmp_path / f"log.{kind}"
    table = pd.DataFrame(columns)
    table.to_csv(file, index=False) if kind == "csv" else table.to_parquet(file)
    got = PolicyLog.read(file)
    assert got.users.tolist() == [1, 0] and got.propensity.tolist() == [0.5, 0.2]
    with pytest.raises(DataError, match="there is no file"):
        PolicyLog.read(tmp_path / "nothing.csv")
    table.drop(columns="reward").to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(DataError, match="has no column 'reward', it has propensity, new_propensity, user_id"):
        PolicyLog.read(tmp_path / "less.csv")
