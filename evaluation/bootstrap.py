"""Percentile intervals of metrics by bootstrap over users.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993. Users are drawn and not rows, since the rows of a user
depend on each other. Every metric here is a function of sums over users, so one matrix product computes many draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.float64]
"""[..., A], the terms of a metric, summed over users."""
Interval = tuple[float, float]
AT_ONCE = 64
"""Draws in one matrix product. It bounds the memory of their weights, [AT_ONCE, U]."""


@dataclass(frozen=True)
class Bootstrap:
    """``replicates`` draws of U out of U users with replacement. The draws depend only on the seed and on U."""

    replicates: int = 1000
    seed: int = 0
    level: float = 0.95

    def sums(self, totals: Any) -> Sums:
        """The sums over the drawn users, float64 [replicates, A].

        Args:
            totals: the terms of each user, [U, A], dense or sparse.
        """
        users = totals.shape[0]
        rng = np.random.default_rng(self.seed)
        found = np.empty((self.replicates, totals.shape[1]))
        for start in range(0, self.replicates, AT_ONCE):
            some = range(start, min(start + AT_ONCE, self.replicates))
            drawn = [np.bincount(rng.integers(users, size=users), minlength=users) for _ in some]
            found[some.start : some.stop] = (totals.T @ np.array(drawn, np.float64).T).T
        return found

    def interval(self, estimate: float, draws: NDArray[np.float64]) -> Interval:
        """The interval that holds the middle ``level`` of ``draws`` [replicates], without NaN.

        It is widened to include the estimate, which may lie outside for the ECE: as a mean of absolute values, it is
        larger in a draw, which has more noise.
        """
        tail = (1 - self.level) / 2
        low, high = np.nanquantile(draws, [tail, 1 - tail])
        return min(float(low), estimate), max(float(high), estimate)

    def means(self, values: NDArray[np.float64]) -> list[Interval]:
        """The interval of the mean over users of each column of ``values`` [U, A]."""
        draws = self.sums(values) / len(values)
        return [self.interval(float(mean), draw) for mean, draw in zip(values.mean(axis=0), draws.T, strict=True)]
