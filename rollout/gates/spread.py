"""Whether the recommendations of a release still reach the catalogue, or gather on a few popular items."""

from __future__ import annotations

import numpy as np

from ..config import GatesConfig
from .measure import MeasuredRelease
from .verdict import GateVerdict, judged, unknown

NAME = "coverage"


def spread_verdict(candidate: MeasuredRelease, live: MeasuredRelease, config: GatesConfig) -> GateVerdict:
    """Figures: ``covered``, how many items are shown at all; ``effective``, the exponential of the entropy of how often
    each is shown (n items shown equally often give n); both of the live release too."""
    covered, effective = _spread(candidate)
    covered_before, effective_before = _spread(live)
    figures = {
        **{"covered": covered, "effective": effective},
        **{"live_covered": covered_before, "live_effective": effective_before},
    }
    if len(candidate.answers) < config.min_users:
        return unknown(NAME, f"{len(candidate.answers):,} users, expected {config.min_users:,}", figures)
    pairs = {"are shown at all": (covered, covered_before), "share the places": (effective, effective_before)}
    faults = [
        f"{now:,.0f} items {what}, live: {before:,.0f}; expected at least {config.min_coverage:.0%} of it"
        for what, (now, before) in pairs.items()
        if now < config.min_coverage * before
    ]
    return judged(NAME, faults, f"{covered:,.0f} items are shown, live: {covered_before:,.0f}", figures)


def _spread(of: MeasuredRelease) -> tuple[float, float]:
    counts = np.unique(of.answers[of.answers >= 0], return_counts=True)[1]
    share = counts / max(counts.sum(), 1)
    return float(len(counts)), float(np.exp(-(share * np.log(share)).sum())) if len(counts) else 0.0
