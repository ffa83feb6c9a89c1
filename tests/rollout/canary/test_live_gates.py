"""Gates on the counters of both arms."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.rollout.canary.arm_figures import ArmFigures
from cascade.rollout.canary.live_gates import live_verdicts
from cascade.rollout.canary.scrape import Growth, parse
from cascade.rollout.config import CanaryConfig

CONFIG = CanaryConfig()
BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.5, math.inf)
NORMAL = (0.0, 0.4, 0.9, 0.97, 0.999, 1.0, 1.0)
SLOW = (0.0, 0.0, 0.0, 0.0, 0.1, 0.6, 1.0)


def arm(came: float, passes: tuple[float, ...] = NORMAL, mean: float = 0.5, **shares: float) -> ArmFigures:
    """An arm whose top scores have a standard deviation of 0.1, with these shares of its users."""
    users = came * (1 - shares.get("unavailable", 0.0))
    shown = users * (1 - shares.get("empty", 0.0))
    return ArmFigures(
        users=users,
        unavailable=came - users,
        degraded={"features_stale": users * shares.get("degraded", 0.0)},
        empty=users * shares.get("empty", 0.0),
        filled=users * (1 - shares.get("unfilled", 0.0)),
        top_score=mean * shown,
        top_score_squares=(mean**2 + 0.01) * shown,
        latency={bound: share * users for bound, share in zip(BOUNDS, passes, strict=True)},
    )


def states(stable: ArmFigures, canary: ArmFigures) -> dict[str, str]:
    return {each.gate: each.state for each in live_verdicts(stable, canary, CONFIG)}


def test_equal_arms_pass_every_gate() -> None:
    found = states(arm(90_000, degraded=0.01, empty=0.01), arm(10_000, degraded=0.01, empty=0.01))
    assert set(found.values()) == {"pass"}
    assert list(found) == [
        "unavailable", "degraded features_stale", "empty", "unfilled", "top score", "latency p95", "latency p99"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("gate", "bad"),
    [
        ("unavailable", {"unavailable": 0.05}),
        ("degraded features_stale", {"degraded": 0.1}),
        ("empty", {"empty": 0.05}),
        ("unfilled", {"unfilled": 0.1}),
        ("top score", {"mean": 0.65}),
        ("top score", {"mean": 0.35}),
        ("latency p95", {"passes": SLOW}),
        ("latency p99", {"passes": SLOW}),
    ],
)
def test_each_fault_fails_the_gate_that_looks_for_it(gate: str, bad: dict) -> None:
    assert states(arm(10_000), arm(10_000, **bad))[gate] == "fail"
    assert states(arm(1_000_000, **bad), arm(1_000_000, **bad))[gate] == "pass" or gate == "unavailable"


def test_too_few_users_in_either_arm_are_inconclusive() -> None:
    for few in ((199, 10_000), (10_000, 199), (0, 0)):
        assert states(arm(few[0]), arm(few[1], empty=0.9)) == {"users": "inconclusive"}


def test_a_share_near_its_margin_is_inconclusive_with_few_users_and_known_with_many() -> None:
    for users, state in ((300, "inconclusive"), (1_000_000, "pass")):
        assert states(arm(users, empty=0.01), arm(users, empty=0.015))["empty"] == state
    assert states(arm(1_000_000, empty=0.01), arm(1_000_000, empty=0.025))["empty"] == "fail"


def test_scores_that_are_all_the_same_and_moved_fail() -> None:
    def constant(value: float) -> ArmFigures:
        return ArmFigures(users=1000, filled=1000, top_score=1000 * value, top_score_squares=1000 * value**2)

    assert states(constant(0.5), constant(0.5))["top score"] == "pass"
    assert states(constant(0.5), constant(0.6))["top score"] == "fail"


def test_the_call_to_the_canarys_own_server_does_not_count() -> None:
    """The 95th percentile is 0.9 ms in one arm and 4.9 ms in the other."""
    fast, slow = (0.95, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0), (0.0, 0.0, 0.95, 1.0, 1.0, 1.0, 1.0)
    assert states(arm(100_000, fast), arm(100_000, slow))["latency p95"] == "pass"
    strict = CONFIG.model_copy(update={"latency_slack_ms": 0.0})
    found = {each.gate: each.state for each in live_verdicts(arm(100_000, fast), arm(100_000, slow), strict)}
    assert found["latency p95"] == "fail"


def test_nobody_who_got_an_item_is_inconclusive() -> None:
    found = states(arm(1000), ArmFigures(unavailable=1000))
    assert found["unavailable"] == "fail" and found["top score"] == "inconclusive"


def test_quantiles_by_hand() -> None:
    latency = {0.001: 50.0, 0.002: 90.0, 0.01: 100.0, math.inf: 100.0}
    figures = ArmFigures(latency=latency)
    assert figures.quantile_s(0.5) == pytest.approx(0.001)
    assert figures.quantile_s(0.7) == pytest.approx(0.0015)
    assert figures.quantile_s(0.95) == pytest.approx(0.006)
    assert ArmFigures(latency={0.001: 0.0, math.inf: 4.0}).quantile_s(0.5) == 0.001
    assert math.isnan(ArmFigures().quantile_s(0.5))


TEXT = """# HELP recsys_arm_users_total users
recsys_arm_users_total{model="m",arm="stable",release="s",pid="1"} 100
recsys_arm_users_total{model="m",arm="canary",release="c",pid="2"} 7
recsys_arm_users_total{model="m",arm="canary",release="old",pid="2"} 70
recsys_arm_degraded_users_total{arm="canary",release="c",reason="a \\"b\\"",pid="2"} 3
recsys_arm_latency_seconds_bucket{arm="canary",release="c",le="+Inf",pid="2"} 5
recsys_arm_latency_seconds_bucket{arm="canary",release="c",le="0.01",pid="2"} 4
recsys_requests_total{model="m"} 5
"""


def test_counters_are_read_by_arm_and_release() -> None:
    found = parse(TEXT)
    assert len(found) == 7
    assert ArmFigures.of(found, "stable", "s").users == 100
    canary = ArmFigures.of(found, "canary", "c")
    assert (canary.users, canary.degraded, canary.latency) == (7, {'a "b"': 3}, {0.01: 4, math.inf: 5})


def series(value: float, pid: int = 1) -> dict:
    return parse(f'recsys_arm_users_total{{arm="canary",release="c",pid="{pid}"}} {value}')


def test_growth_by_hand() -> None:
    growth = Growth()
    growth.add("one", series(100))
    growth.start()
    growth.add("one", series(130))  # + 30
    growth.add("one", series(20))  # started again: + 20
    growth.add("one", {**series(25), **series(4, pid=2)})  # + 5, and + 4 of a new process
    growth.add("two", series(1000))  # a server that is seen for the first time
    growth.add("two", series(1001))  # + 1
    assert ArmFigures.of(growth.grown, "canary", "c").users == 60
    growth.start()
    growth.add("one", {**series(26), **series(4, pid=2)})
    assert ArmFigures.of(growth.grown, "canary", "c").users == 1


@given(st.lists(st.one_of(st.integers(0, 50), st.none()), max_size=30))
def test_growth_counts_what_was_counted_whatever_restarts(steps: list[int | None]) -> None:
    """Looks after each step, and one before each restart."""
    growth, value, total = Growth(), 5, 0
    growth.add("one", series(value))
    for step in steps:
        if step is None:
            value = 0
        else:
            value, total = value + step, total + step
        growth.add("one", series(value))
    assert ArmFigures.of(growth.grown, "canary", "c").users == total
