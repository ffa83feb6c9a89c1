"""Whether the scores of a release can be right: finite, not constant, not saturated, and not far from the live ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..config import GatesConfig
from .measure import MeasuredRelease
from .verdict import GateVerdict, judged, unknown

SCORES, SHIFT = "scores", "score shift"
SATURATED = 1e-6
"""A probability this near to 0 or 1 counts as saturated."""
MAX_CONSTANT = 0.01
"""Largest share of requests whose candidates all have the same score. A few may have nothing that tells them apart."""
BINS = 10
"""Of the population stability index: deciles, as is customary."""
EMPTY = 1e-4
"""Share of an empty bin, whose logarithm would be infinite."""


def scores_verdict(candidate: MeasuredRelease, live: MeasuredRelease | None, config: GatesConfig) -> GateVerdict:
    """Figures: number of scores that are ``not_finite``; shares of requests with ``constant`` scores and of
    ``saturated`` shown scores; the live release's."""
    wrong = int((~np.isfinite(candidate.logits[candidate.candidates >= 0])).sum())
    constant, saturated = _constant(candidate), _saturated(candidate)
    before = 0.0 if live is None else _saturated(live)
    figures = {"not_finite": wrong, "constant": constant, "saturated": saturated, "live_saturated": before}
    faults = []
    if wrong:
        faults.append(f"{wrong:,} scores are NaN or infinite")
    if constant > MAX_CONSTANT:
        faults.append(f"{constant:.1%} of the requests have the same score for all candidates")
    if saturated > before + config.max_saturated:
        faults.append(f"{saturated:.1%} of the shown scores are 0 or 1; live: {before:.1%}")
    if len(candidate.answers) < config.min_users and not faults:
        return unknown(SCORES, f"{len(candidate.answers):,} users, expected {config.min_users:,}", figures)
    return judged(SCORES, faults, "finite, neither constant nor saturated", figures)


def shift_verdict(candidate: MeasuredRelease, live: MeasuredRelease, config: GatesConfig) -> GateVerdict:
    """Figures: ``odds_factor`` of the shown scores, see `odds_factor`, and for information ``stability_index``.

    The latter does not decide: it calls a shift major however small it is, if all scores are much alike.
    """
    one, other = (each.scores[each.answers >= 0] for each in (candidate, live))
    users = len(candidate.answers)
    if min(users, len(one), len(other)) < config.min_users:
        shown = f"{users:,} users were shown {len(one):,} items, {len(other):,} by the live release"
        return unknown(SHIFT, f"{shown}; expected {config.min_users:,} of each")
    factor = odds_factor(one, other)
    text = f"the odds of shown items are up to {factor:.2f} times higher or lower"
    faults = [] if factor <= config.max_score_shift else [f"{text}, allowed: {config.max_score_shift:g} times"]
    return judged(SHIFT, faults, text, {"odds_factor": factor, "stability_index": stability_index(one, other)})


def odds_factor(scores: NDArray[np.float32], before: NDArray[np.float32]) -> float:
    """The largest factor, at least 1, between the odds p / (1 - p) at the same decile of two sets of probabilities."""
    share = np.linspace(0, 1, BINS + 1)[1:-1]
    deciles = [np.clip(np.quantile(of.astype(np.float64), share), SATURATED, 1 - SATURATED) for of in (scores, before)]
    now, then = (np.log(each / (1 - each)) for each in deciles)
    return float(np.exp(np.abs(now - then).max()))


def stability_index(scores: NDArray[np.float32], before: NDArray[np.float32]) -> float:
    """Sum over the deciles of ``before`` of (p - q) * ln(p / q), with the shares p of ``scores`` and q of ``before``.

    0 for the same distribution. Siddiqi, "Credit Risk Scorecards", 2006.
    """
    cuts = np.unique(np.quantile(before, np.linspace(0, 1, BINS + 1)[1:-1]))
    p, q = (
        np.maximum(np.bincount(np.searchsorted(cuts, of), minlength=len(cuts) + 1) / len(of), EMPTY)
        for of in (scores, before)
    )
    return float(((p - q) * np.log(p / q)).sum())


def _constant(of: MeasuredRelease) -> float:
    """Share of the requests with several candidates and the same score for all of them."""
    valid = of.candidates >= 0
    low = np.where(valid, of.logits, np.inf).min(axis=1, initial=np.inf)
    high = np.where(valid, of.logits, -np.inf).max(axis=1, initial=-np.inf)
    several = valid.sum(axis=1) > 1
    return float((several & (high == low)).mean())


def _saturated(of: MeasuredRelease) -> float:
    shown = of.scores[of.answers >= 0]
    return float(((shown <= SATURATED) | (shown >= 1 - SATURATED)).mean()) if len(shown) else 0.0
