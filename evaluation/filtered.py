"""Held-out items that the served graph filters: a metric that is 0 for this reason is no measurement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scipy.sparse import csr_matrix

from ..core.errors import DataError
from .replay import Replay

MANY = 0.5
"""Share of the held-out items from which on the filters are worth a notice."""
COME_BACK = (
    "if users come back to the same items, set serving.seen: keep, so that they are recommended again; or keep only "
    "the first interaction of each user and item in the data, so that what is held out is new to the user"
)
LOWER = "lower serving.thresholds.min_score"


def check_filtered(run: Replay, relevant: csr_matrix, funnel: Mapping[str, Any], min_score: float) -> list[str]:
    """Notices about items that are filtered.

    Args:
        relevant: bool [U, n_items], the held-out items.
        funnel: `funnel.summary` of the run.
        min_score: ``serving.thresholds.min_score``.

    Raises:
        DataError: all held-out items are filtered, or nothing is left in any answer.
    """
    total, filtered = int(relevant.nnz), funnel["filtered"]["count"]
    seen = int(relevant.multiply(run.seen).nnz)
    below = filtered - seen
    why = {
        f"{seen:,} are items that the user had taken or rejected before and is never shown": (
            seen,
            COME_BACK,
        ),
        f"{below:,} have a score below serving.thresholds.min_score = {min_score:g}": (below, LOWER),
    }
    reasons = ", ".join(text for text, (count, _) in why.items() if count)
    advice = "; ".join(way for count, way in why.values() if count)
    counts = ", ".join(f"{name} {fate['count']:,}" for name, fate in funnel.items())
    if filtered == total:
        raise DataError(
            f"evaluation: all {total:,} held-out items are filtered, so metrics would be 0 whatever the model: "
            f"{reasons} ({counts}). What to do: {advice}"
        )
    if (run.answers < 0).all():
        raise DataError(
            f"evaluation: the answers to all {len(run.answers):,} test users are empty, because no candidate reaches "
            f"serving.thresholds.min_score = {min_score:g} ({counts}). What to do: {LOWER}"
        )
    if filtered > MANY * total:
        return [
            f"{filtered:,} of {total:,} held-out items ({filtered / total:.1%}) are filtered and count as not found: "
            f"{reasons}; {advice}"
        ]
    return []
