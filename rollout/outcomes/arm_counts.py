"""The events of a window as sums over the users of each arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..statistics.cuped import pre_period
from ..statistics.decision import ArmCounts
from ..statistics.user_sums import UserSums
from .event_columns import REVENUE
from .event_log import events_of

if TYPE_CHECKING:
    import pyarrow as pa

    from .event_log import EventLog
    from .windows import Window

IMPRESSION = "impression"
"""The event that says that a user was shown something."""
DAY_US = 86_400 * 10**6
Users = NDArray[np.uint64]


@dataclass(frozen=True)
class Outcomes:
    """What users did in a window."""

    counts: Mapping[str, ArmCounts]
    """Name of the arm -> its sums, ``stable`` first."""
    metrics: Sequence[str]
    """Names of the metrics that have events."""
    last_us: int | None
    """Time of the last event, microseconds since 1970; None without events."""
    pre_period_users: int
    """Users of whom there are events from before the experiment."""


def outcomes_in(
    log: EventLog, window: Window, begun_us: int, wanted: Sequence[str], pre_period_days: float
) -> Outcomes:
    """Add up the events of a window.

    The users are those with an impression, or else, if there are no impressions, those with any event. A metric is the
    number of the user's events of its name, ``revenue`` the sum of their values.

    Args:
        window: one with arms.
        begun_us: when its experiment began, microseconds since 1970; what was before is the pre-period.
        wanted: metrics that are added up even if there are no events of them.
        pre_period_days: length of the pre-period.
    """
    columns = ("user", "event", "value", "time", "arm")
    events = log.read(columns, events_of(window))
    user, name, arm = events["user"].to_numpy(), events["event"], events["arm"].to_numpy()
    shown = _is(name, IMPRESSION)
    users, first = np.unique(user[shown] if shown.any() else user, return_index=True)
    arms = (arm[shown] if shown.any() else arm)[first]
    metrics = sorted({*_names(events), *wanted})
    before = _before(log, begun_us, pre_period_days)
    known = np.isin(users, before["user"].to_numpy())
    sums: dict[str, dict[str, UserSums]] = {arm: {} for arm in window.assignment.names}
    for metric in metrics:
        now = _totals(events, users, metric)
        earlier = pre_period(np.where(known, _totals(before, users, metric), np.nan)) if known.any() else None
        for index, arm_name in enumerate(sums):
            own = arms == index
            sums[arm_name][metric] = UserSums.of(now[own], covariates=None if earlier is None else earlier[own])
    counted = {name: ArmCounts(int(np.sum(arms == index)), sums[name]) for index, name in enumerate(sums)}
    times = events["time"].to_numpy()
    return Outcomes(counted, sorted(_names(events)), int(times.max()) if len(times) else None, int(known.sum()))


def _before(log: EventLog, begun_us: int, days: float) -> pa.Table:
    import pyarrow.dataset as ds

    time = ds.field("time")
    return log.read(("user", "event", "value"), (time < begun_us) & (time >= begun_us - round(days * DAY_US)))


def _names(events: pa.Table) -> set[str]:
    """The metrics of which there are events."""
    found = set(events["event"].unique().to_pylist()) - {IMPRESSION}
    return found | ({REVENUE} if np.isfinite(events["value"].to_numpy()).any() else set())


def _totals(events: pa.Table, users: Users, metric: str) -> NDArray[np.float64]:
    """What each of ``users`` (ascending) has of a metric."""
    values = events["value"].to_numpy()
    if metric == REVENUE:
        counts, weights = np.isfinite(values), np.nan_to_num(values)
    else:
        counts = _is(events["event"], metric)
        weights = np.ones(len(values))
    user = events["user"].to_numpy()[counts]
    at = np.searchsorted(users, user)
    here = at < len(users)
    here[here] = users[at[here]] == user[here]
    return np.bincount(at[here], weights[counts][here], minlength=len(users)).astype(np.float64)


def _is(names: Any, name: str) -> NDArray[np.bool_]:
    import pyarrow.compute as pc

    return np.asarray(pc.equal(names, name).combine_chunks().to_numpy(zero_copy_only=False), bool)
