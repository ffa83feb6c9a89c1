"""Off-policy estimates: the reward that another rerank policy would have earned, from the log of the policy that ran.

A row of the log is a list or an item that was shown, with its probability under the logging policy, its probability
under the new policy, and its reward. A served answer holds the probability of each pick; the product of these is the
probability of the list. Only lists that the logging policy may show can be judged. At temperature 0 it always shows the
same list, and no estimate is possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from .bootstrap import Bootstrap

COLUMNS = ("propensity", "new_propensity", "reward")


@dataclass(frozen=True)
class PolicyLog:
    """A log of n rows."""

    propensity: NDArray[np.float64]
    """[n], above 0: probability of what was shown, under the logging policy."""
    new_propensity: NDArray[np.float64]
    """[n]: probability of the same, under the new policy."""
    reward: NDArray[np.float64]
    """[n]."""
    users: NDArray[np.int64]
    """[n], numbered from 0. The rows of a user depend on each other. If users are unknown, each row has its own."""

    @classmethod
    def of(cls, propensity: Any, new_propensity: Any, reward: Any, users: Any = None) -> PolicyLog:
        """A log from columns [n], which are checked.

        Raises:
            DataError: if there are no rows or a value is invalid. The error names its column and row.
        """
        columns = [np.asarray(column, np.float64) for column in (propensity, new_propensity, reward)]
        if not len(columns[0]):
            raise DataError("policy log: no rows, so there is nothing to estimate from")
        possible = [_in_unit(columns[0]) & (columns[0] > 0), _in_unit(columns[1]), np.isfinite(columns[2])]
        wanted = ("above 0, at most 1", "from 0 to 1", "a finite number")
        for name, column, good, what in zip(COLUMNS, columns, possible, wanted, strict=True):
            if not good.all():
                row = int(np.argmin(good))
                raise DataError(f"policy log, {name}, row {row}: {column[row]:g}, expected {what}")
        owner = np.arange(len(columns[0])) if users is None else np.unique(np.asarray(users), return_inverse=True)[1]
        return cls(columns[0], columns[1], columns[2], owner)

    @classmethod
    def read(cls, file: Path) -> PolicyLog:
        """Read a Parquet or CSV file with ``propensity``, ``new_propensity``, ``reward`` and optionally ``user_id``.

        Raises:
            DataError: if the file or a column does not exist, or a value is invalid.
        """
        import pandas as pd

        if not file.is_file():
            raise DataError(f"policy log: there is no file {file}")
        table = pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
        for name in COLUMNS:
            if name not in table:
                raise DataError(f"policy log: {file} has no column {name!r}, it has {', '.join(map(str, table))}")
        return cls.of(table["propensity"], table["new_propensity"], table["reward"], table.get("user_id"))


@dataclass(frozen=True)
class Estimate:
    """Estimated mean reward of the new policy, with its 95 % interval over users."""

    value: float
    low: float
    high: float
    effective_rows: float
    """(sum of weights)^2 / sum of squared weights: the rows that a log of the new policy itself would need for the same
    precision (Kish, 1965)."""
    clipped: float
    """Share of the rows whose weight was clipped. Clipping biases the estimate, towards 0 for IPS."""


def ips(log: PolicyLog, clip: float | None = None, bootstrap: Bootstrap | None = None) -> Estimate:
    """Inverse propensity scoring: the mean of weight * reward, with weight = new propensity / propensity.

    Horvitz and Thompson, 1952. It is unbiased without clipping.

    Args:
        clip: upper limit of the weights (Ionides, "Truncated Importance Sampling", 2008).
        bootstrap: for the interval.

    Raises:
        DataError: if the new policy shows nothing of what is in the log.
    """
    return _estimate(log, clip, bootstrap or Bootstrap(), self_normalized=False)


def snips(log: PolicyLog, clip: float | None = None, bootstrap: Bootstrap | None = None) -> Estimate:
    """Self-normalized IPS: `ips` divided by the mean weight, whose expectation is 1.

    Swaminathan and Joachims, "The Self-Normalized Estimator for Counterfactual Learning", 2015. Its variance is lower,
    and a constant added to all rewards is added to the estimate. Arguments and errors are those of `ips`.
    """
    return _estimate(log, clip, bootstrap or Bootstrap(), self_normalized=True)


def _estimate(log: PolicyLog, clip: float | None, bootstrap: Bootstrap, *, self_normalized: bool) -> Estimate:
    full = log.new_propensity / log.propensity
    weight = full if clip is None else np.minimum(full, clip)
    if not weight.any():
        raise DataError("policy log, new_propensity: all are 0, so the new policy shows nothing that is in the log")
    over = weight if self_normalized else np.ones_like(weight)
    totals = np.stack([np.bincount(log.users, part) for part in (weight * log.reward, over)], axis=1)
    value = float(totals[:, 0].sum() / totals[:, 1].sum())
    sums = bootstrap.sums(totals)
    with np.errstate(invalid="ignore"):  # 0 / 0 in a draw of users whose weights are all 0
        low, high = bootstrap.interval(value, sums[:, 0] / sums[:, 1])
    effective = float(weight.sum() ** 2 / (weight**2).sum())
    return Estimate(value, low, high, effective, float((full > weight).mean()))


def _in_unit(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (values >= 0) & (values <= 1)
