"""What another rerank policy would have earned, from the log of the one that ran.

A row is one list, or one item, that was shown: its probability under the policy that showed it, its probability under
the new policy, and the reward that came. A served answer carries the probability of each pick; their product is that of
the list. Only what the running policy may show can be judged: at temperature 0 it shows one list, and there is nothing
to estimate from.
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
    """n rows; ``users`` int64 [n] from 0 on, whose rows depend on each other: a row each where users are not known."""

    propensity: NDArray[np.float64]
    """[n], above 0: of what was shown, under the policy that ran."""
    new_propensity: NDArray[np.float64]
    """[n]: of the same, under the new one."""
    reward: NDArray[np.float64]
    """[n]."""
    users: NDArray[np.int64]

    @classmethod
    def of(cls, propensity: Any, new_propensity: Any, reward: Any, users: Any = None) -> PolicyLog:
        """Checked columns [n].

        Raises:
            DataError: naming column and row of a value that cannot be.
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
        shown, would_be, earned = columns
        return cls(shown, would_be, earned, owner)

    @classmethod
    def read(cls, file: Path) -> PolicyLog:
        """A Parquet or CSV file of ``propensity``, ``new_propensity``, ``reward`` and, if there is one, ``user_id``."""
        import pandas as pd

        if not file.is_file():
            raise DataError(f"policy log: there is no file {file}")
        table = pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
        for name in COLUMNS:
            if name not in table:
                raise DataError(f"policy log: {file} has no column {name!r}, it has {', '.join(map(str, table))}")
        shown, would_be, earned = (table[name] for name in COLUMNS)
        return cls.of(shown, would_be, earned, table.get("user_id"))


@dataclass(frozen=True)
class Estimate:
    """Mean reward of the new policy and its 95 % interval over users."""

    value: float
    low: float
    high: float
    effective_rows: float
    """(sum of weights)^2 / sum of squared weights: so many rows of its own would tell as much. Kish, 1965."""
    clipped: float
    """Share of the rows whose weight was cut: what biases the estimate, towards 0 for IPS."""


def ips(log: PolicyLog, clip: float | None = None, bootstrap: Bootstrap | None = None) -> Estimate:
    """Inverse propensity scoring: mean of weight * reward, weight = new propensity / propensity, at most ``clip``.

    Unbiased without a clip. Horvitz and Thompson, 1952; clipping: Ionides, "Truncated Importance Sampling", 2008.
    """
    return _estimate(log, clip, bootstrap or Bootstrap(), self_normalized=False)


def snips(log: PolicyLog, clip: float | None = None, bootstrap: Bootstrap | None = None) -> Estimate:
    """The same over the mean weight, which is 1 in expectation: steadier, and unmoved by a constant added to rewards.

    Swaminathan and Joachims, "The Self-Normalized Estimator for Counterfactual Learning", 2015.
    """
    return _estimate(log, clip, bootstrap or Bootstrap(), self_normalized=True)


def _estimate(log: PolicyLog, clip: float | None, bootstrap: Bootstrap, *, self_normalized: bool) -> Estimate:
    full = log.new_propensity / log.propensity
    weight = full if clip is None else np.minimum(full, clip)
    if not weight.any():
        raise DataError("policy log, new_propensity: all are 0, the new policy shows nothing of what is in the log")
    over = weight if self_normalized else np.ones_like(weight)
    totals = np.stack([np.bincount(log.users, part) for part in (weight * log.reward, over)], axis=1)
    value = float(totals[:, 0].sum() / totals[:, 1].sum())
    sums = bootstrap.sums(totals)
    with np.errstate(invalid="ignore"):  # a draw of users whose weights are all 0
        low, high = bootstrap.interval(value, sums[:, 0] / sums[:, 1])
    effective = float(weight.sum() ** 2 / (weight**2).sum())
    return Estimate(value, low, high, effective, float((full > weight).mean()))


def _in_unit(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (values >= 0) & (values <= 1)
