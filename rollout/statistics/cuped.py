"""CUPED: numbers from before the experiment explain a part of the variance, which is then taken off.

Deng, Xu, Kohavi and Walker, "Improving the Sensitivity of Online Controlled Experiments by Utilizing Pre-Experiment
Data", 2013. With covariates X, the metric Y becomes Y - theta' (X - mean of X), theta = Cov(X, X)^-1 Cov(X, Y). The
experiment cannot have changed X, so the expected difference of two arms stays, and the variance falls to
(1 - correlation^2) of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.errors import DataError
from .user_sums import Floats, UserSums

SMALLEST = 1e-9
"""Covariates whose correlation matrix has an eigenvalue smaller than this times the largest say the same as others."""


def pre_period(before: Any) -> Floats:
    """Covariates from what users did before the experiment, float64 [U, K + 1], for `UserSums.of`.

    A user without a pre-period has zeros and the indicator 0, all others their values and the indicator 1. Together
    both columns do the same as filling in the mean of the known users, and also take off that users without a
    pre-period may have another level. So new users stay in the comparison, and what is filled in does not matter.

    Args:
        before: [U] or [U, K], numbers of each user from before the experiment; NaN where there are none.

    Raises:
        DataError: if a number is infinite.
    """
    values = np.asarray(before, np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if np.isinf(values).any():
        user = int(np.argmax(np.isinf(values).any(axis=1)))
        raise DataError(f"before, user {user}: expected a finite number, or NaN for none, got inf")
    known = ~np.isnan(values).any(axis=1)
    return np.column_stack([np.where(known[:, None], values, 0.0), known])


def coefficients(arms: Sequence[UserSums], gradients: Sequence[Floats]) -> Floats:
    """theta, float64 [..., K], from the covariances within the arms, each weighted by its users.

    One theta serves both arms. With a theta for each, the adjustment would differ between them by chance.

    Args:
        gradients: for each arm, how its metric depends on the means of its outcome columns, [..., outcomes].
    """
    k = arms[0].outcomes
    weight = [(np.maximum(arm.users - 1, 0))[..., None] for arm in arms]
    within = [np.nan_to_num(arm.covariance) for arm in arms]
    own = sum(w[..., None] * part[..., k:, k:] for w, part in zip(weight, within, strict=True))
    shared = sum(
        w * np.einsum("...ko,...o->...k", part[..., k:, :k], np.nan_to_num(gradient))
        for w, part, gradient in zip(weight, within, gradients, strict=True)
    )
    return _solve(np.asarray(own), np.asarray(shared))


def _solve(matrix: Floats, right: Floats) -> Floats:
    """The smallest solution; 0 for a covariate that is the same for all users, and for one that says nothing new."""
    scale = np.sqrt(np.maximum(np.diagonal(matrix, axis1=-2, axis2=-1), 0))
    scale = np.where(scale > 0, scale, np.inf)
    correlation = matrix / scale[..., :, None] / scale[..., None, :]
    inverse = np.linalg.pinv(correlation, rcond=SMALLEST, hermitian=True)
    found: Floats = np.einsum("...kl,...l->...k", inverse, right / scale) / scale
    return found
