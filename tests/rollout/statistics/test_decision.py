"""Ship, stop or hold: the order of the questions, and the sentences."""

import numpy as np
import pytest

from cascade.core.errors import ConfigError, DataError
from cascade.rollout.statistics.decision import ArmCounts, RolloutPlan, decide
from cascade.rollout.statistics.user_sums import UserSums

PLAN = RolloutPlan("clicks", planned_users=10_000, guards={"errors": "lower"})


def arm(clicks=0.1, errors=0.01, users=10_000, seen=None):
    """An arm whose first users clicked or had an error."""
    at = np.arange(users)
    metrics = {name: UserSums.of(at < users * rate) for name, rate in (("clicks", clicks), ("errors", errors))}
    return ArmCounts(users if seen is None else seen, metrics)


def test_a_better_goal_is_shipped():
    # by hand: two metrics, so alpha = 0.025; r = 7.3778 + log(8.3778) = 9.5033; error sqrt(0.1956 / 9999) = 0.004423;
    # z = 4.522; p = exp(-z^2 / 2 * 0.90479 + log(10.5033) / 2) = 0.0003; radius = 3.279 errors = 0.0145
    found = decide(arm(), arm(clicks=0.12), PLAN)
    assert found.action == "ship"
    assert found.reason == (
        "The candidate is better: clicks changed by +20.0%, and the difference lies between 0.005496 and 0.0345 "
        "(0.975 confidence at every look, p 0.0003)."
    )


def test_a_worse_goal_or_guard_stops():
    worse = decide(arm(), arm(clicks=0.08), PLAN)
    assert worse.action == "stop" and worse.reason.startswith("The candidate is worse: clicks changed by -20.0%")
    broken = decide(arm(), arm(clicks=0.12, errors=0.05), PLAN)
    assert broken.action == "stop" and "errors changed by +400.0%" in broken.reason


def test_where_lower_is_better():
    plan = RolloutPlan("errors", planned_users=10_000, better="lower")
    assert decide(arm(errors=0.05), arm(errors=0.01), plan).action == "ship"
    assert decide(arm(errors=0.01), arm(errors=0.05), plan).action == "stop"


def test_a_mismatch_comes_before_everything_else():
    found = decide(arm(), arm(clicks=0.12, seen=9000), PLAN)
    assert found.action == "stop"
    assert found.reason == (
        "The candidate has 47.37% of the users where 50.00% were expected (chi-squared p 4e-13), "
        "so the arms cannot be compared."
    )
    quarter = RolloutPlan("clicks", planned_users=10_000, share=0.25)
    unequal = decide(arm(users=30_000), arm(), quarter)
    assert unequal.action == "hold" and "as 15000 users in each arm have, of 10000 planned" in unequal.reason


def test_a_small_difference_holds():
    found = decide(arm(), arm(clicks=0.103), PLAN)
    assert (found.action, found.reason) == (
        "hold",
        "The difference of clicks, +3.0%, may be chance (p 1), with as much data as 10000 users in each arm have, "
        "of 10000 planned.",
    )


@pytest.mark.parametrize("users", [0, 1, 99])
def test_few_users_hold(users):
    found = decide(arm(users=users), arm(clicks=1, users=users), PLAN)
    assert (found.action, found.reason) == (
        "hold",
        f"An arm has {users} users with clicks, and at least 100 are needed.",
    )


def test_an_hour_without_data_holds_whatever_was_counted():
    for candidate in (arm(clicks=0.2), arm(clicks=0.01), arm(seen=100)):
        assert decide(arm(), candidate, PLAN, idle_s=3599).action != "hold"
        found = decide(arm(), candidate, PLAN, idle_s=3600)
        assert (found.action, found.reason) == ("hold", "No data came for 60 minutes, so nothing is decided.")


def test_a_metric_that_was_never_positive_holds():
    found = decide(arm(clicks=0), arm(clicks=0), PLAN)
    assert found.action == "hold" and "clicks, 0, may be chance" in found.reason


@pytest.mark.slow
def test_equal_arms_are_rarely_shipped_or_stopped():
    rng = np.random.default_rng(0)
    actions = []
    for _ in range(200):
        parts = [[ArmCounts(0, {"clicks": UserSums.of(np.empty(0)), "errors": UserSums.of(np.empty(0))})] for _ in "ab"]
        verdicts = []
        for _ in range(10):
            for part in parts:
                new = {name: UserSums.of(rng.random(500) < rate) for name, rate in (("clicks", 0.1), ("errors", 0.01))}
                part.append(ArmCounts(part[-1].users + 500, {n: part[-1].metrics[n] + new[n] for n in new}))
            verdicts.append(decide(parts[0][-1], parts[1][-1], RolloutPlan("clicks", 5000, guards=PLAN.guards)).action)
        actions.append(any(action != "hold" for action in verdicts))
    assert np.mean(actions) <= 0.05


def test_what_is_missing_or_cannot_work_is_named():
    with pytest.raises(DataError, match="candidate: expected sums of the metric errors, got clicks"):
        decide(arm(), ArmCounts(10_000, {"clicks": arm().metrics["clicks"]}), PLAN)
    with pytest.raises(ConfigError, match="guards.clicks: expected other metrics than the goal"):
        RolloutPlan("clicks", 10, guards={"clicks": "lower"})
    with pytest.raises(ConfigError, match="errors: expected higher or lower as what is better, got 'less'"):
        RolloutPlan("clicks", 10, guards={"errors": "less"})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="share: expected a number above 0 and below 1, got 1"):
        RolloutPlan("clicks", 10, share=1)
    with pytest.raises(ConfigError, match="alpha: expected a number above 0 and below 1, got nan"):
        RolloutPlan("clicks", 10, alpha=float("nan"))
    with pytest.raises(ConfigError, match="planned_users: expected a number above 0, got -1"):
        RolloutPlan("clicks", -1)
