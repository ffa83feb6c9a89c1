"""Isotonic calibration of a logit, as a strictly increasing map of few pieces that an ONNX graph can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]
KNOTS = 64
"""Most knots of a curve."""
INFORMATION = 50.0
"""Least sum of p (1 - p) over the rows of a bin: a log-odds is then known to 1 / sqrt(50) = 0.14."""
LEAST_SLOPE = 0.05
"""Of every piece, so that two scores that differ go on to differ."""


@dataclass(frozen=True)
class Curve:
    """A piecewise linear map of logits: straight lines from knot to knot, slope 1 before the first and after the last.

    Outside of what was seen the scale is left as it came.
    """

    x: tuple[float, ...]
    """Knots, rising."""
    y: tuple[float, ...]
    """Where they go, rising."""

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> Curve:
        """From what `dataclasses.asdict` made of it, by way of JSON or not."""
        return cls(tuple(saved["x"]), tuple(saved["y"]))

    @property
    def widths(self) -> NDArray[np.float32]:
        """Width [N - 1] of each piece."""
        return np.asarray(np.diff(self.x), np.float32)

    @property
    def slopes(self) -> NDArray[np.float32]:
        """Slope [N - 1] of each piece."""
        return np.asarray(np.diff(self.y) / np.diff(self.x), np.float32)

    def __call__(self, logits: Logits) -> Logits:
        """Calibrated logits, of any shape."""
        x, y = np.asarray(self.x), np.asarray(self.y)
        outside = np.minimum(logits - x[0], 0) + np.maximum(logits - x[-1], 0)
        return np.asarray(np.interp(logits, x, y) + outside, np.float32)


def fit_curve(logits: Logits, label: NDArray[np.bool_]) -> Curve | None:
    """The isotonic regression of label [M] on logits [M] that are about calibrated; None if one knot or none remains.

    Rows are sorted into bins that tell equally much, sum of p (1 - p): rare positives would leave bins of equally many
    rows empty. Pools of the regression become one knot each at their centre, so that no two scores become equal:
    centered isotonic regression, Oron and Flournoy, "Centered Isotonic Regression: Point and Interval Estimation for
    Dose-Response Studies", 2017. A knot's place is the log-odds of its rows' mean probability.
    """
    from scipy.special import expit, logit
    from sklearn.isotonic import IsotonicRegression

    chance = np.asarray(expit(np.asarray(logits, np.float64)))
    bins = _bins(chance)
    if bins.max(initial=0) < 1:
        return None
    sums = [np.bincount(bins, weights) for weights in (None, chance, label)]
    rows, expected, happened = (part[sums[0] > 0] for part in sums)
    mean = expected / rows
    rate = (happened + mean) / (rows + 1)  # one row more, as expected: keeps log-odds finite
    fitted = IsotonicRegression().fit_transform(mean, rate, sample_weight=rows)
    pool = np.append(0, np.cumsum(np.diff(fitted) > 0))
    total = np.bincount(pool, rows)
    x, y = (np.asarray(logit(np.bincount(pool, values) / total)) for values in (expected, fitted * rows))
    y = LEAST_SLOPE * x + np.maximum.accumulate(y - LEAST_SLOPE * x)
    return Curve(tuple(x.tolist()), tuple(y.tolist())) if len(x) > 1 else None


def _bins(chance: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bin [M] of each row: equally much information in each, equal probabilities together."""
    order = np.argsort(chance, kind="stable")
    told = np.cumsum((chance * (1 - chance))[order])
    count = min(KNOTS, int(told[-1] // INFORMATION)) if len(told) else 0
    if count < 2:
        return np.zeros(len(chance), np.int64)
    cuts = chance[order][np.searchsorted(told, told[-1] * np.arange(1, count) / count)]
    return np.searchsorted(np.unique(cuts), chance, side="left").astype(np.int64)
