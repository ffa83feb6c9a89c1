"""Whether the scores of a release are as true probabilities as those of the live one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ...ensemble.graph.ops.order import sigmoid
from ...evaluation.bootstrap import Bootstrap
from ...evaluation.intervals import ranking_differences, ranking_draws
from ...evaluation.ranking import RankedRows, labelled
from ...models import metrics
from ..config import GatesConfig
from .measure import MeasuredRelease
from .verdict import GateVerdict, judged, unknown

NAME = "calibration"
LEAST_HITS = 50
"""With fewer candidates that were taken, the calibration error is hardly more than noise."""


def calibration_verdict(
    candidate: MeasuredRelease, live: MeasuredRelease, relevant: csr_matrix, config: GatesConfig
) -> GateVerdict:
    """Compare the expected calibration errors on the candidates of the same users, as shares of the live release's mean
    probability, or of the share of candidates that were taken if that is larger.

    Figures: ``error`` and ``live_error``, and the interval of the difference, ``change_low`` and ``change_high``.
    """
    some = (np.diff(relevant.indptr) > 0) & _has_any(candidate) & _has_any(live)
    rows = [_rows(each, relevant, some) for each in (candidate, live)]
    hits = min(int(each.label.sum()) for each in rows)
    if some.sum() < config.min_users or hits < LEAST_HITS:
        return unknown(NAME, f"{some.sum():,} users and {hits:,} hits; expected {config.min_users:,} and {LEAST_HITS}")
    if not all(np.isfinite(each.logits).all() for each in rows):
        return unknown(NAME, "some scores are NaN or infinite")
    bootstrap = Bootstrap(seed=config.seed)
    errors: list[dict[str, float | None]] = [
        {"auc": None, "gauc": None, "logloss": None, "ece": metrics.ece(_chance(each), each.label)} for each in rows
    ]
    draws = [ranking_draws(each, error, bootstrap) for each, error in zip(rows, errors, strict=True)]
    change = ranking_differences((errors[0], draws[0]), (errors[1], draws[1]), bootstrap)["ece"]
    scale = max(float(_chance(rows[1]).mean()), float(rows[1].label.mean()))
    now, before = ((error["ece"] or 0) / scale for error in errors)
    low, high = change["low"] / scale, change["high"] / scale
    figures = {"error": now, "live_error": before, "change_low": low, "change_high": high}
    text = f"error {now:.2f} of the mean probability, live {before:.2f} ({low:+.2f} to {high:+.2f})"
    faults = [f"{text}; allowed: {config.calibration_margin:+.2f}"]
    return judged(NAME, faults if low > config.calibration_margin else [], text, figures)


def _has_any(of: MeasuredRelease) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (of.candidates >= 0).any(axis=1)
    return found


def _rows(of: MeasuredRelease, relevant: csr_matrix, some: NDArray[np.bool_]) -> RankedRows:
    logits, label, requests, items = labelled(of.candidates[some], of.logits[some], relevant[some])
    return RankedRows(logits, label, requests, items, requests)


def _chance(rows: RankedRows) -> NDArray[np.float64]:
    return sigmoid(rows.logits.astype(np.float64))
