"""What to do with a candidate: ship it, stop it, or hold and go on counting, with the reason in one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ...core.errors import ConfigError, DataError
from .difference import difference
from .sample_ratio import sample_ratio
from .sequential import DIFFERENT, MIN_USERS, AlwaysValid, always_valid
from .user_sums import UserSums

Action = Literal["ship", "stop", "hold"]
Better = Literal["higher", "lower"]
IDLE_S = 3600.0
"""Seconds without new data after which nothing is decided."""


@dataclass(frozen=True)
class RolloutPlan:
    """What was fixed before the first user came."""

    goal: str
    """The metric that has to become better."""
    planned_users: float
    """Users in each arm at which the test is to be most sensitive (see `sequential.always_valid`)."""
    better: Better = "higher"
    """Which way the goal is better."""
    guards: Mapping[str, Better] = field(default_factory=dict)
    """Metrics that must not become worse, and which way each is better."""
    share: float = 0.5
    """The candidate's expected share of the users of both arms."""
    alpha: float = 0.05
    """At most this share of candidates like the control is ever shipped or stopped for a metric, all metrics together:
    each has an equal part of it (Bonferroni)."""

    def __post_init__(self) -> None:
        if self.goal in self.guards:
            raise ConfigError(f"guards.{self.goal}: expected other metrics than the goal")
        for name, better in self.metrics.items():
            if better not in ("higher", "lower"):
                raise ConfigError(f"{name}: expected higher or lower as what is better, got {better!r}")
        if not 0 < self.share < 1:
            raise ConfigError(f"share: expected a number above 0 and below 1, got {self.share}")
        if not 0 < self.alpha < 1:
            raise ConfigError(f"alpha: expected a number above 0 and below 1, got {self.alpha}")
        if not 0 < self.planned_users < math.inf:
            raise ConfigError(f"planned_users: expected a number above 0, got {self.planned_users}")

    @property
    def metrics(self) -> dict[str, Better]:
        """The guards and then the goal, each with which way it is better."""
        return {**self.guards, self.goal: self.better}


@dataclass(frozen=True)
class ArmCounts:
    """What was counted of one arm since the shares were set."""

    users: int
    """Different users that came, whether a metric is known of them or not."""
    metrics: Mapping[str, UserSums]
    """Name -> sums over users, without leading dimensions."""


@dataclass(frozen=True)
class Verdict:
    """What to do, and why."""

    action: Action
    reason: str
    """One sentence."""


@dataclass(frozen=True)
class _Tested:
    name: str
    change: float
    """By how much the candidate is better in the metric's unit; negative if it is worse."""
    lift: float
    """The same as a share of the control's metric; NaN where that is 0."""
    answer: AlwaysValid

    @property
    def sure(self) -> bool:
        return bool(self.answer.decision == DIFFERENT)


def decide(control: ArmCounts, candidate: ArmCounts, plan: RolloutPlan, idle_s: float = 0.0) -> Verdict:
    """What to do with the candidate. It may be asked as often as one likes; the first answer but ``hold`` counts.

    In this order: hold if no data came for an hour, whatever was counted before; stop if the arms' numbers of users do
    not fit their shares, since then no comparison can be trusted; stop if any metric is worse; ship if the goal is
    better; else hold. Not being worse is never proven: a guard that is not yet known does not keep a better goal from
    shipping.

    Args:
        control: counted in the same time as the candidate.
        idle_s: seconds since the last data of any arm.

    Raises:
        DataError: if an arm lacks a metric of the plan, or counts it in other columns than the other arm.
    """
    if idle_s >= IDLE_S:
        return Verdict("hold", f"No data came for {idle_s / 60:.0f} minutes, so nothing is decided.")
    users = sample_ratio([control.users, candidate.users], [1 - plan.share, plan.share])
    if users.mismatch:
        return Verdict("stop", _mismatch(control, candidate, plan, float(users.chi_squared_p)))
    tested = [_test(name, control, candidate, plan) for name in plan.metrics]
    for one in tested:
        if one.sure and one.change < 0:
            return Verdict("stop", f"The candidate is worse: {_described(one, plan)}.")
    goal = tested[-1]
    if goal.sure:
        return Verdict("ship", f"The candidate is better: {_described(goal, plan)}.")
    return Verdict("hold", _undecided(control, candidate, goal, plan))


def _test(name: str, control: ArmCounts, candidate: ArmCounts, plan: RolloutPlan) -> _Tested:
    for arm, counts in (("control", control), ("candidate", candidate)):
        if name not in counts.metrics:
            raise DataError(f"{arm}: expected sums of the metric {name}, got {', '.join(counts.metrics) or 'none'}")
    found = difference(control.metrics[name], candidate.metrics[name])
    answer = always_valid(found, plan.planned_users, plan.alpha / len(plan.metrics))
    sign = 1 if plan.metrics[name] == "higher" else -1
    return _Tested(name, sign * float(found.value), float(found.lift), answer)


def _mismatch(control: ArmCounts, candidate: ArmCounts, plan: RolloutPlan, p_value: float) -> str:
    share = candidate.users / (control.users + candidate.users)
    return (
        f"The candidate has {share:.2%} of the users where {plan.share:.2%} were expected "
        f"(chi-squared p {p_value:.1g}), so the arms cannot be compared."
    )


def _described(one: _Tested, plan: RolloutPlan) -> str:
    level = 1 - plan.alpha / len(plan.metrics)
    size = f" by {one.lift:+.1%}" if math.isfinite(one.lift) else ""
    return (
        f"{one.name} changed{size}, and the difference lies between {float(one.answer.low):.4g} and "
        f"{float(one.answer.high):.4g} ({level:.4g} confidence at every look, p {float(one.answer.p_value):.1g})"
    )


def _undecided(control: ArmCounts, candidate: ArmCounts, goal: _Tested, plan: RolloutPlan) -> str:
    users = [float(arm.metrics[goal.name].users) for arm in (control, candidate)]
    fewest = min(users)
    if fewest < MIN_USERS:
        return f"An arm has {fewest:.0f} users with {goal.name}, and at least {MIN_USERS} are needed."
    harmonic = 2 / (1 / users[0] + 1 / users[1])
    size = f"{goal.lift:+.1%}" if math.isfinite(goal.lift) else f"{goal.change:.4g}"
    return (
        f"The difference of {goal.name}, {size}, may be chance (p {float(goal.answer.p_value):.2g}), "
        f"with as much data as {harmonic:.0f} users in each arm have, of {plan.planned_users:.0f} planned."
    )
