"""Isotonic calibration of logits by a strictly increasing, piecewise linear curve that an ONNX graph can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]
KNOTS = 64
"""Largest number of knots of a curve."""
INFORMATION = 50.0
"""Least sum of p (1 - p) over the rows of a bin; the standard error of its log-odds is then 1 / sqrt(50) = 0.14."""
MIN_SLOPE = 0.05
"""Least slope of a piece: different scores must stay different."""


@dataclass(frozen=True)
class Curve:
    """A piecewise linear map of logits, with slope 1 before the first and after the last knot.

    Logits outside the range that the curve was fitted on are therefore only shifted.
    """

    x: tuple[float, ...]
    """Logits of the knots, rising."""
    y: tuple[float, ...]
    """Calibrated logits of the knots, rising."""

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> Curve:
        """From the result of `dataclasses.asdict`, which may have been stored as JSON."""
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
        """Calibrated logits float32, in the shape of ``logits``."""
        x, y = np.asarray(self.x), np.asarray(self.y)
        outside = np.minimum(logits - x[0], 0) + np.maximum(logits - x[-1], 0)
        return np.asarray(np.interp(logits, x, y) + outside, np.float32)


def fit_curve(logits: Logits, label: NDArray[np.bool_]) -> Curve | None:
    """Centered isotonic regression of label [M] on logits [M]; None if fewer than two knots remain.

    The logits should be roughly calibrated already. Rows are grouped into bins of equal information, the sum of
    p (1 - p): with rare positives, bins of equally many rows would hold none. Bins that the regression pools become one
    knot at their centre, so that no two scores become equal: Oron and Flournoy, "Centered Isotonic Regression: Point
    and Interval Estimation for Dose-Response Studies", 2017. The logit of a knot is the log-odds of its rows' mean
    probability.
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
    rate = (happened + mean) / (rows + 1)  # one additional, average row keeps the log-odds finite
    fitted = IsotonicRegression().fit_transform(mean, rate, sample_weight=rows)
    pool = np.append(0, np.cumsum(np.diff(fitted) > 0))
    total = np.bincount(pool, rows)
    x, y = (np.asarray(logit(np.bincount(pool, values) / total)) for values in (expected, fitted * rows))
    y = MIN_SLOPE * x + np.maximum.accumulate(y - MIN_SLOPE * x)
    return Curve(tuple(x.tolist()), tuple(y.tolist())) if len(x) > 1 else None


def _bins(chance: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bin int64 [M] of each row: bins of equal information, equal probabilities in the same bin."""
    order = np.argsort(chance, kind="stable")
    information = np.cumsum((chance * (1 - chance))[order])
    count = min(KNOTS, int(information[-1] // INFORMATION)) if len(information) else 0
    if count < 2:
        return np.zeros(len(chance), np.int64)
    cuts = chance[order][np.searchsorted(information, information[-1] * np.arange(1, count) / count)]
    return np.searchsorted(np.unique(cuts), chance, side="left").astype(np.int64)
