"""Gates of a canary: do its users get answers as good as those of the stable release, in the same window.

Each is a function of what was counted of both arms. Differences are judged by intervals that are valid at all looks
together (`statistics.sequential`), so a canary may be looked at as often as one likes. A gate fails if the whole
interval lies beyond the margin and passes if all of it lies within; else it is inconclusive, and more users decide.
"""

from __future__ import annotations

from math import inf, isnan, sqrt

from ..config import CanaryConfig
from ..gates.verdict import GateVerdict, State, unknown
from ..statistics.difference import difference
from ..statistics.sequential import always_valid
from ..statistics.user_sums import UserSums
from .arm_figures import ArmFigures

ALPHA = 0.01
"""Of the interval of each gate. A canary like the stable release fails far less often, because its difference would
have to exceed the margin."""
_Z = 2.576
"""Standard errors of a 99 % interval, for the latency."""


def live_verdicts(stable: ArmFigures, canary: ArmFigures, config: CanaryConfig) -> list[GateVerdict]:
    """What each gate says. With too few users in an arm there is only one verdict, which says so."""
    if few := _too_few(stable, canary, config):
        return [few]
    reasons = sorted({*stable.degraded, *canary.degraded})
    return [
        _unavailable(stable, canary, config),
        *(_degraded(reason, stable, canary, config) for reason in reasons),
        _share("empty", stable.empty, canary.empty, stable.users, canary.users, config.max_empty, config),
        _share("unfilled", stable.unfilled, canary.unfilled, stable.users, canary.users, config.max_shorter, config),
        _top_score(stable, canary, config),
        *(_latency(f"latency p{q * 100:.0f}", q, stable, canary, config) for q in (0.95, 0.99)),
    ]


def _too_few(stable: ArmFigures, canary: ArmFigures, config: CanaryConfig) -> GateVerdict | None:
    fewest = min(stable.came, canary.came)
    if fewest >= config.min_users:
        return None
    arm = "stable" if stable.came == fewest else "canary"
    figures = {"stable": stable.came, "canary": canary.came}
    return unknown("users", f"{arm} has had {fewest:.0f} users, and {config.min_users} are needed", figures)


def _unavailable(stable: ArmFigures, canary: ArmFigures, config: CanaryConfig) -> GateVerdict:
    limits = (config.max_unavailable, config)
    return _share("unavailable", stable.unavailable, canary.unavailable, stable.came, canary.came, *limits)


def _degraded(reason: str, stable: ArmFigures, canary: ArmFigures, config: CanaryConfig) -> GateVerdict:
    counts = stable.degraded.get(reason, 0.0), canary.degraded.get(reason, 0.0)
    return _share(f"degraded {reason}", *counts, stable.users, canary.users, config.max_degraded, config)


def _share(
    gate: str,
    stable: float,
    canary: float,
    stable_users: float,
    canary_users: float,
    margin: float,
    config: CanaryConfig,
) -> GateVerdict:
    """Whether a share of the users is larger in the canary than in the stable arm, by more than the margin.

    A sum over users of values from 0 to 1 can stand for their number: its variance is at most that of a share.
    """
    one, other = _of_share(stable, stable_users), _of_share(canary, canary_users)
    shares, low, high = _compared(one, other, config)
    text = f"{shares[1]:.2%} of the users, stable {shares[0]:.2%} ({_pct(low)} to {_pct(high)}); allowed: +{margin:.2%}"
    figures = {"stable": shares[0], "canary": shares[1], "low": low, "high": high}
    return GateVerdict(gate, _state(low > margin, high <= margin), text, figures)


def _top_score(stable: ArmFigures, canary: ArmFigures, config: CanaryConfig) -> GateVerdict:
    """Figures: mean score of the best item; the limits of the difference."""
    one, other = stable.top_scores, canary.top_scores
    means, low, high = _compared(one, other, config)
    if isnan(means[0]) or isnan(means[1]):
        return unknown("top score", "nobody in an arm got an item")
    spread = sqrt(max((float((arm.covariance)[0, 0]) for arm in (one, other)), default=0.0))
    limit = config.max_score_shift * spread
    text = f"{means[1]:.4f}, stable {means[0]:.4f} ({low:+.4f} to {high:+.4f}); allowed: {limit:.4f} either way"
    figures = {"stable": means[0], "canary": means[1], "low": low, "high": high, "limit": limit}
    return GateVerdict(
        "top score", _state(low > limit or high < -limit, -limit <= low and high <= limit), text, figures
    )


def _latency(gate: str, q: float, stable: ArmFigures, canary: ArmFigures, config: CanaryConfig) -> GateVerdict:
    """Figures: the quantile of both arms, in milliseconds.

    The interval of a quantile lies between the quantiles of the shares that a binomial count around ``q`` allows.
    """
    if (fewest := min(stable.passes, canary.passes)) < config.min_users:
        return unknown(gate, f"an arm has {fewest:.0f} passes, and {config.min_users} are needed")
    (low, own, high), (other_low, other, other_high) = around = [_around(arm, q) for arm in (canary, stable)]
    most, slack = config.max_latency_ratio, config.latency_slack_ms / 1000
    told = (f"{value * 1e3:.1f} ms ({least * 1e3:.1f} to {largest * 1e3:.1f})" for least, value, largest in around)
    text = f"{', stable '.join(told)}; allowed: {most:g} times and {slack * 1000:g} ms"
    state = _state(low > most * other_high + slack, high <= most * other_low + slack)
    return GateVerdict(gate, state, text, {"stable": other * 1000, "canary": own * 1000})


def _around(arm: ArmFigures, q: float) -> tuple[float, float, float]:
    error = _Z * sqrt(q * (1 - q) / arm.passes)
    return arm.quantile_s(q - error), arm.quantile_s(q), arm.quantile_s(min(q + error, 1.0))


def _of_share(count: float, users: float) -> UserSums:
    count = min(count, users)
    return UserSums.of_totals(users, count, count)


def _compared(stable: UserSums, canary: UserSums, config: CanaryConfig) -> tuple[tuple[float, float], float, float]:
    """The means of both, and the interval of their difference."""
    found = difference(stable, canary)
    answer = always_valid(found, config.planned_users, ALPHA)
    means = float(found.control), float(canary.means[0])
    low, high = float(answer.low), float(answer.high)
    return means, -inf if isnan(low) else low, inf if isnan(high) else high


def _state(bad: bool, good: bool) -> State:
    return "fail" if bad else "pass" if good else "inconclusive"


def _pct(value: float) -> str:
    return f"{value:+.2%}"
