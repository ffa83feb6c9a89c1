"""Calibration curve and expected calibration error by hand."""

import numpy as np
import pytest

from cascade.core.errors import DivergedError
from cascade.models import metrics


def test_calibration_and_ece():
    probability, label = np.array([0.1, 0.9, 0.3, 0.7]), np.array([0, 1, 1, 1])
    predicted, observed, rows = metrics.calibration(probability, label, bins=2)
    assert predicted.tolist() == pytest.approx([0.2, 0.8])
    assert observed.tolist() == [0.5, 1]
    assert rows.tolist() == [2, 2]
    assert metrics.ece(probability, label, bins=2) == pytest.approx((0.3 + 0.2) / 2)


def test_ece_with_fewer_rows_than_bins():
    assert metrics.ece(np.array([0.25]), np.array([1])) == pytest.approx(0.75)


def test_bins_hold_equally_many_rows():
    probability = np.array([0.1, 0.9, 0.3, 0.7, 0.2])
    assert metrics.equal_bins(probability, bins=2).tolist() == [0, 1, 0, 1, 0]
    assert metrics.equal_bins(probability[:1], bins=2).tolist() == [0]


def test_nan_is_an_error_that_says_what_was_scored():
    with pytest.raises(DivergedError, match="ranker: 1 of 2 scores are NaN"):
        metrics.ece(np.array([0.5, np.nan]), np.array([0, 1]), of="ranker")
