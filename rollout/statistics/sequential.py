"""Does a metric differ between two arms, whenever and however often one looks.

A test for one look declares far more than 5 % of equal arms different if it is repeated as users come. This one bounds
the share over all looks: the likelihood ratio of the difference, mixed over effects from a normal distribution, exceeds
1 / alpha at any time with probability at most alpha if there is no difference (Ville's inequality).

- The mixture sequential probability ratio test: Robbins, "Statistical methods related to the law of the iterated
  logarithm", 1970; Johari, Pekelis and Walsh, "Always valid inference", 2015 (Operations Research 2022).
- With variances that are estimated from the data, as a limit for many users: Waudby-Smith, Arbour, Sinha, Kennedy and
  Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences", 2021. The interval is theirs with the
  variance of a difference.
- On boundaries: Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
  sequences", 2021.

It holds for users who are counted once, when their totals are final. If users come again and their totals grow, it is
an approximation: of simulated equal arms (``tests/benchmarks/ab_tests.py``) 2 % are then declared different.

Both arms must see the same time: if the shares change, sums start anew, or a good day with few users in the candidate
looks like an effect. Each step of a rollout is then a test of its own, and their alphas add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError
from .difference import ArmDifference
from .user_sums import Floats

DIFFERENT, HOLD = "different", "hold"
MIN_USERS = 100
"""Users in each arm below which nothing is decided: the mean of so few need not be near a normal distribution."""


@dataclass(frozen=True)
class AlwaysValid:
    """The answer at each look, with probability 1 - alpha right at all of them together."""

    p_value: Floats
    """[...]. The smallest one of all looks so far is valid as well."""
    low: Floats
    """[...], the interval of the difference in the metric's unit; the overlap of all looks so far is valid as well."""
    high: Floats
    decision: NDArray[np.str_]
    """[...], ``different`` or ``hold``."""


def always_valid(
    found: ArmDifference, planned_users: float, alpha: float = 0.05, min_users: int = MIN_USERS
) -> AlwaysValid:
    """Test whether the arms differ, with the interval of the difference.

    Args:
        planned_users: users in each arm at which the test is to be most sensitive. It stays valid before and after. For
            unequal arms it is compared with the harmonic mean of their numbers. It must not be chosen by looking.
        alpha: at most this share of equal arms is ever declared different.
        min_users: below this number of users in an arm the answer is ``hold``, with an infinite interval.

    Raises:
        ConfigError: if a number is not above 0, or alpha not below 1.
    """
    _check(planned_users, alpha, min_users)
    control, candidate = found.control_users, found.candidate_users
    enough = (control >= min_users) & (candidate >= min_users) & np.isfinite(found.value) & np.isfinite(found.variance)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mixing = _mixing(alpha) * 2 / (1 / control + 1 / candidate) / planned_users
        squared = np.where(found.value == 0, 0.0, found.value**2 / found.variance)
        evidence = squared / 2 * mixing / (1 + mixing) - np.log1p(mixing) / 2
        p_value = np.where(enough, np.exp(-np.maximum(evidence, 0)), 1.0)
        radius = np.sqrt(found.variance * (1 + 1 / mixing) * (np.log1p(mixing) - 2 * np.log(alpha)))
    low = np.where(enough, found.value - radius, -np.inf)
    high = np.where(enough, found.value + radius, np.inf)
    return AlwaysValid(p_value, low, high, np.where(p_value <= alpha, DIFFERENT, HOLD))


def _mixing(alpha: float) -> float:
    """Variance of the mixed effects over that of the estimate, r, at the planned number of users.

    The interval is narrowest there if r = L + log(1 + r), with L = -2 log(alpha). One step from r = L is near enough.
    """
    level = -2 * np.log(alpha)
    return float(level + np.log(1 + level))


def _check(planned_users: float, alpha: float, min_users: int) -> None:
    if not 0 < planned_users < np.inf:
        raise ConfigError(f"planned_users: expected a number above 0, got {planned_users}")
    if not 0 < alpha < 1:
        raise ConfigError(f"alpha: expected a number above 0 and below 1, got {alpha}")
    if not min_users >= 2:
        raise ConfigError(f"min_users: expected at least 2, got {min_users}")
