"""A canary or an A/B test as text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ...core.text_table import table

if TYPE_CHECKING:
    from ...rollout.outcomes.experiment import ExperimentStatus, MetricStatus


def status_text(found: ExperimentStatus) -> str:
    """Arms, metrics, and a decision for each arm."""
    arms = [("stable", found.stable, 1 - sum(arm.share for arm in found.arms), found.stable_users)]
    arms += [(arm.arm, arm.release, arm.share, arm.users) for arm in found.arms]
    rows = [(name, release, f"{share:.4g}", f"{users:,}") for name, release, share, users in arms]
    metrics = [(arm.arm, *_metric(each)) for arm in found.arms for each in arm.metrics]
    head = ("arm", "metric", "arm's", "stable's", "difference", "from", "to", "p")
    lines = [
        table(("arm", "release", "share", "users"), rows, ("left", "left", "right", "right")),
        "",
        table(head, metrics, ("left", "left", *["right"] * 6)),
        "",
        _since(found),
        *(f"{arm.arm}: {arm.decision}. {arm.reason}" for arm in found.arms),
    ]
    return "\n".join(lines)


def _metric(each: MetricStatus) -> tuple[str, ...]:
    values = (each.value, each.stable, each.difference, each.low, each.high)
    return (each.metric, *("" if value is None else f"{value:.4g}" for value in values), f"{each.p_value:.2g}")


def _since(found: ExperimentStatus) -> str:
    ended = f", ended {_time(found.ended_us)}" if found.ended_us else ""
    last = f"last event {_time(found.last_event_us)}" if found.last_event_us else "no events"
    known = f"; {found.pre_period_users:,} users known from before" if found.pre_period_users else ""
    return f"since {_time(found.begun_us)}{ended}; {last}{known}; sample ratio p {found.sample_ratio_p:.2g}"


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
