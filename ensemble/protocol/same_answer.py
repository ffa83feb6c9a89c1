"""Whether two answers to a request are the same, but for rounding."""

from __future__ import annotations

from typing import Literal

from .arms import UNAVAILABLE
from .recommendation import Recommendation

TIE = 1e-4
"""Items whose scores differ by less may change places: in another batch their sums are rounded otherwise."""
_RELATIVE, _SMALLEST = 1e-2, 1e-6
"""Of scores near 0, this share of the score and no less than this."""

Difference = Literal["", "numbers of items", "items", "scores", "reasons"]
"""In what an answer differs; empty if it does not."""


def difference(answer: Recommendation, own: Recommendation) -> Difference:
    """In what ``answer`` differs from ``own``.

    An item may be missing if it ties with the last one of the answer. That an arm did not answer is no difference of
    the reasons.
    """
    if len(answer.items) != len(own.items):
        return "numbers of items"
    scores, own_scores = ({item.item_id: item.score for item in each.items} for each in (answer, own))
    last = own.items[-1].score if own.items else 0.0
    both = scores | own_scores
    moved = [item for item in scores.keys() ^ own_scores.keys() if not _tied(both[item], last) and both[item] > last]
    if moved:
        return "items"
    common = scores.keys() & own_scores.keys()
    places = zip(answer.items, own.items, strict=True)
    if not all(_tied(scores[item], own_scores[item]) for item in common) or not all(
        _tied(one.score, other.score) for one, other in places
    ):
        return "scores"
    return "" if [why for why in answer.reasons if why not in UNAVAILABLE] == own.reasons else "reasons"


def _tied(score: float, other: float) -> bool:
    """Whether two scores are so close that rounding may be the reason."""
    return abs(score - other) <= min(TIE, _SMALLEST + _RELATIVE * max(abs(score), abs(other)))
