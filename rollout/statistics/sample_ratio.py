"""Sample-ratio mismatch: arms that have other numbers of users than their shares say cannot be compared.

Something then loses or gains users by arm: answers that time out, a log that drops, an assignment that is not kept.
Fabijan et al., "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", 2019, use a chi-squared test with
p < 0.001. That is for one look. Repeated as users come, it stops ever more experiments that are in order, so the
decision here is of a test that stays valid: Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data",
2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, gammaln, logsumexp, xlogy

from ...core.errors import ConfigError, DataError
from .user_sums import Floats

ALPHA = 0.001
"""At most this share of experiments in order is ever stopped."""
CONCENTRATIONS = (1e2, 1e3, 1e4, 1e5)
"""Of the Dirichlet distributions of the shares that are tested for. The mean of several Bayes factors is as valid as
one; the small ones find a gross mismatch after a few hundred users, the large ones a slight one after many."""


@dataclass(frozen=True)
class SampleRatio:
    """The answer at each look."""

    p_value: Floats
    """[...], valid at every look."""
    chi_squared_p: Floats
    """[...], of a chi-squared test, valid if this is the only look. NaN without users."""
    mismatch: NDArray[np.bool_]
    """[...], whether ``p_value`` is below alpha."""


def sample_ratio(users: Any, shares: Any, alpha: float = ALPHA) -> SampleRatio:
    """Test whether users are spread over the arms as the shares say.

    The Bayes factor of shares from a Dirichlet distribution around the expected ones against these. It is a martingale
    with mean 1 if the shares are right, so it ever exceeds 1 / alpha with probability at most alpha, exactly, for any
    number of users.

    Args:
        users: [..., A], different users seen in each arm since the shares were set.
        shares: [A], the arms' expected shares of these users.
        alpha: at most this share of experiments in order is ever declared a mismatch.

    Raises:
        ConfigError: if the shares are not above 0 with the sum 1.
        DataError: if a number of users is negative or not finite.
    """
    counts, expected = np.asarray(users, np.float64), np.asarray(shares, np.float64)
    _check(counts, expected)
    total = counts.sum(axis=-1)
    factors = [_log_bayes_factor(counts, total, size * expected) for size in CONCENTRATIONS]
    evidence = logsumexp(factors, axis=0) - np.log(len(factors)) - xlogy(counts, expected).sum(axis=-1)
    p_value = np.exp(-np.maximum(evidence, 0))
    return SampleRatio(p_value, _chi_squared_p(counts, total, expected), p_value <= alpha)


def _log_bayes_factor(counts: Floats, total: Floats, prior: Floats) -> Floats:
    """The log-probability of one order of the users under a Dirichlet prior [A]; [...]."""
    of_arms = (gammaln(prior + counts) - gammaln(prior)).sum(axis=-1)
    found: Floats = of_arms - gammaln(prior.sum() + total) + gammaln(prior.sum())
    return found


def _chi_squared_p(counts: Floats, total: Floats, expected: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        wanted = total[..., None] * expected
        found: Floats = chdtrc(len(expected) - 1, ((counts - wanted) ** 2 / wanted).sum(axis=-1))
    return found


def _check(counts: Floats, expected: Floats) -> None:
    if expected.ndim != 1 or not (expected > 0).all() or not np.isclose(expected.sum(), 1):
        raise ConfigError(f"shares: expected numbers above 0 with the sum 1, got {expected.tolist()}")
    if counts.shape[-1:] != expected.shape:
        raise DataError(f"users: expected {len(expected)} arms, got the shape {list(counts.shape)}")
    if not (np.isfinite(counts) & (counts >= 0)).all():
        raise DataError(f"users: expected numbers from 0, got {counts[~(counts >= 0) | ~np.isfinite(counts)][0]}")
