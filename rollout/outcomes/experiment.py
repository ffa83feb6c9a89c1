"""The state of a canary or an A/B test: users, metrics with intervals, a decision and its reason for each arm."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...ensemble.protocol.assignment import STABLE
from ..config import OutcomesConfig
from ..releases.live_set import LiveSets
from ..statistics.decision import RolloutPlan, Verdict, decide
from ..statistics.difference import difference
from ..statistics.sample_ratio import sample_ratio
from ..statistics.sequential import always_valid
from .arm_counts import Outcomes, outcomes_in
from .event_log import EventLog
from .windows import Window, experiment_start, windows_of

ALPHA = 0.05
"""At most this share of experiments without a difference ends with one, all arms and metrics together."""


@dataclass(frozen=True)
class MetricStatus:
    """A metric of an arm beside that of the stable release."""

    metric: str
    value: float | None
    """A user's mean; None without users, as all others."""
    stable: float | None
    difference: float | None
    """Adjusted by the pre-period, if there is one."""
    low: float | None
    """Of the interval of the difference, right at every look together; None if it has no limit."""
    high: float | None
    p_value: float
    """Valid at every look."""


@dataclass(frozen=True)
class ArmStatus:
    """An arm beside the stable release."""

    arm: str
    release: str
    share: float
    users: int
    """Different users that were counted."""
    metrics: Sequence[MetricStatus]
    decision: str
    """``ship``, ``stop`` or ``hold``."""
    reason: str


@dataclass(frozen=True)
class ExperimentStatus:
    """What is known of the experiment since its shares were set."""

    stable: str
    """Id of the release that the arms are compared with."""
    stable_users: int
    begun_us: int
    """When the shares were set, microseconds since 1970."""
    ended_us: int | None
    """None if it runs."""
    last_event_us: int | None
    pre_period_users: int
    sample_ratio_p: float
    """That the users of all arms fit their shares, valid at every look."""
    arms: Sequence[ArmStatus]

    def to_json(self) -> dict[str, Any]:
        """The state as JSON can hold it."""
        return asdict(self)


def experiment_status(
    live_sets: LiveSets, config: OutcomesConfig, now_s: float | None = None
) -> ExperimentStatus | None:
    """The state of what runs, or of what ran last; None if there never was an arm.

    If the shares were changed, only what came since counts: both arms must see the same time.

    Args:
        now_s: seconds since 1970; by default the time.

    Raises:
        ReleaseError: the live set is damaged.
    """
    windows = windows_of(live_sets.history().lines)
    window = next((each for each in reversed(windows) if each.arms), None)
    if window is None:
        return None
    log = EventLog(live_sets)
    found = outcomes_of(log, windows, window, config)
    idle_s = 0.0 if window.end_us is not None else idle(log, window, found, time.time() if now_s is None else now_s)
    shares = [1 - sum(arm.share for arm in window.arms), *(arm.share for arm in window.arms)]
    present = [at for at, share in enumerate(shares) if share > 1e-9]
    users = [counts.users for counts in found.counts.values()]
    total = sum(shares[at] for at in present)
    ratio = sample_ratio([users[at] for at in present], [shares[at] / total for at in present])
    arms = [_arm(window, index, found, config, idle_s) for index in range(len(window.arms))]
    ends = window.start_us, window.end_us, found.last_us, found.pre_period_users
    return ExperimentStatus(window.stable, users[0], *ends, float(ratio.p_value), arms)


def outcomes_of(log: EventLog, windows: Sequence[Window], window: Window, config: OutcomesConfig) -> Outcomes:
    """The outcomes in a window, with the pre-period of its experiment."""
    begun = experiment_start(windows, window).start_us
    return outcomes_in(log, window, begun, [*config.guards, config.goal], config.pre_period_days)


def idle(log: EventLog, window: Window, found: Outcomes, now_s: float) -> float:
    """Seconds since the last data: an event, or a file of earlier ones."""
    return now_s - max((found.last_us or window.start_us) / 1e6, log.last_ingest_s())


def verdict_of(
    window: Window, index: int, found: Outcomes, config: OutcomesConfig, alpha: float, idle_s: float
) -> Verdict:
    """What to do with an arm.

    Args:
        index: of the arm in the window.
        alpha: at most this share of equal arms is shipped or stopped.
        idle_s: see `idle`.
    """
    arm = window.arms[index]
    rest = 1 - sum(each.share for each in window.arms)
    if arm.share <= 0 or rest <= 1e-9:
        return Verdict("hold", "One of both arms has no share of the users, so there is nothing to compare.")
    plan = RolloutPlan(
        config.goal, config.planned_users, guards=config.guards, share=arm.share / (arm.share + rest), alpha=alpha
    )
    return decide(found.counts[STABLE], found.counts[arm.name], plan, idle_s)


def _arm(window: Window, index: int, found: Outcomes, config: OutcomesConfig, idle_s: float) -> ArmStatus:
    arm, alpha = window.arms[index], ALPHA / len(window.arms)
    verdict = verdict_of(window, index, found, config, alpha, idle_s)
    names = [*dict.fromkeys([config.goal, *config.guards, *found.metrics])]
    level = alpha / (1 + len(config.guards))
    metrics = [_metric(name, arm.name, found, config.planned_users, level) for name in names]
    users = found.counts[arm.name].users
    return ArmStatus(arm.name, arm.release, arm.share, users, metrics, verdict.action, verdict.reason)


def _metric(name: str, arm: str, found: Outcomes, planned: float, alpha: float) -> MetricStatus:
    own, other = found.counts[arm].metrics[name], found.counts[STABLE].metrics[name]
    moved = difference(other, own)
    answer = always_valid(moved, planned, alpha)
    return MetricStatus(
        name,
        _finite(own.means[0]),
        _finite(moved.control),
        _finite(moved.value),
        _finite(answer.low),
        _finite(answer.high),
        float(answer.p_value),
    )


def _finite(value: Any) -> float | None:
    """None for NaN and infinity, which JSON has not."""
    return float(value) if np.isfinite(value) else None
