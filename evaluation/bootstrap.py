"""How far a figure would move with other users: percentile intervals of the bootstrap over users.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993. Rows of one user depend on each other, so users are
drawn and not rows. Every metric here is a function of sums over users, so one matrix product does many draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.float64]
"""[..., A], a metric's ingredients summed over users."""
Interval = tuple[float, float]
AT_ONCE = 64
"""Draws in one matrix product: bounds the matrix of weights, [AT_ONCE, U]."""


@dataclass(frozen=True)
class Bootstrap:
    """``replicates`` draws of as many users as there are, with replacement; the same draws for equally many users."""

    replicates: int = 1000
    seed: int = 0
    level: float = 0.95

    def sums(self, totals: Any) -> Sums:
        """What each draw sums to, float64 [replicates, A].

        Args:
            totals: [U, A], dense or sparse: what each user brings.
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
        """The middle ``level`` of ``draws`` [replicates], NaN left out, and the estimate, even where it is outside.

        It may be for the ECE alone, which is a mean of absolute values: noise makes each draw's larger.
        """
        tail = (1 - self.level) / 2
        low, high = np.nanquantile(draws, [tail, 1 - tail])
        return min(float(low), estimate), max(float(high), estimate)

    def means(self, values: NDArray[np.float64]) -> list[Interval]:
        """Intervals of the means over users of ``values`` [U, A]."""
        draws = self.sums(values) / len(values)
        return [self.interval(float(mean), draw) for mean, draw in zip(values.mean(axis=0), draws.T, strict=True)]
