"""Whether probabilities can be believed: the observed rate of rows with about the same probability."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ranks import Counts, Values, check_scores

BINS = 15
"""Bins of a calibration curve and of the ECE."""


def equal_bins(probability: NDArray[np.floating[Any]], bins: int = BINS) -> Counts:
    """Bin [M] of each row, by rising probability [M], with equally many rows in each, or one more.

    Bins of equal width would put every row of a ranker whose probabilities are all small into the first one.
    """
    found = np.empty(len(probability), np.int64)
    for number, rows in enumerate(_rows_of_bins(probability, bins)):
        found[rows] = number
    return found


def _rows_of_bins(probability: NDArray[np.floating[Any]], bins: int) -> list[NDArray[np.int64]]:
    """The rows of each bin that holds any."""
    chunks = np.array_split(np.argsort(probability, kind="stable"), bins)
    return [chunk for chunk in chunks if len(chunk)]


def calibration(
    probability: NDArray[np.floating[Any]], label: NDArray[np.generic], bins: int = BINS, of: str = "probabilities"
) -> tuple[Values, Values, Counts]:
    """Mean probability, observed rate and number of rows of each of the `equal_bins`, [bins] or fewer: none is empty.

    Args:
        probability: [M].
        label: 0 or 1 [M].

    Raises:
        DivergedError: if a probability is NaN; ``of`` says what was scored.
    """
    check_scores(probability, of)
    chunks = _rows_of_bins(probability, bins)
    predicted = np.array([probability[chunk].mean(dtype=np.float64) for chunk in chunks])
    observed = np.array([label[chunk].mean(dtype=np.float64) for chunk in chunks])
    return predicted, observed, np.array([len(chunk) for chunk in chunks], dtype=np.int64)


def ece(
    probability: NDArray[np.floating[Any]], label: NDArray[np.generic], bins: int = BINS, of: str = "probabilities"
) -> float:
    """Expected calibration error: the row-weighted mean of |mean probability - observed rate| over the bins.

    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015.

    Raises:
        DivergedError: if a probability is NaN; ``of`` says what was scored.
    """
    predicted, observed, rows = calibration(probability, label, bins, of)
    return float(np.average(np.abs(predicted - observed), weights=rows))
