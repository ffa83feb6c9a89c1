"""Recommendations as the public API returns them, and how they follow from the outputs of the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from .arms import ARM
from .assignment import STABLE

RawId = int | str


@dataclass(frozen=True)
class RecommendedItem:
    """One item of an answer."""

    item_id: RawId
    score: float
    """A probability: of the label if the ranker learned from impressions, else that this is the user's next item."""
    propensity: float
    """Probability that sampling picked this item at this position; 1 if nothing is sampled."""


@dataclass(frozen=True)
class Recommendation:
    """The answer for one user, best item first."""

    user_id: RawId
    items: list[RecommendedItem]
    reasons: list[str]
    """Why the answer is degraded, e.g. ``unknown_user``; empty if it is not."""
    release: str
    """Id of the release that answered."""
    stages_ms: dict[str, float]
    """Milliseconds that each stage of the graph took for all users of the call."""
    arm: str = STABLE
    """The arm that answered: ``stable``, ``canary`` or the name of an arm of an A/B test."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def recommendations(
    users: Sequence[RawId], outputs: Mapping[str, NDArray[Any]], stages_ms: Mapping[str, float]
) -> list[Recommendation]:
    """The answers for ``users``, from the outputs item_ids, scores and propensities [B, k], reasons and release [B, 1],
    and arm [B, 1] if there is such an output.

    Text may be ``str`` or UTF-8 bytes.
    """
    return [
        Recommendation(
            user_id=user,
            items=_items(*(outputs[name][row] for name in ("item_ids", "scores", "propensities"))),
            reasons=[name for name in _text(outputs["reasons"][row, 0]).split(",") if name],
            release=_text(outputs["release"][row, 0]),
            stages_ms=dict(stages_ms),
            arm=STABLE if outputs.get(ARM) is None else _text(outputs[ARM][row, 0]),
        )
        for row, user in enumerate(users)
    ]


def _items(ids: NDArray[Any], scores: NDArray[Any], propensities: NDArray[Any]) -> list[RecommendedItem]:
    """One row of the outputs, [k] each, without its padding: id -1 or "", propensity 0."""
    items = []
    for raw, score, propensity in zip(ids, scores, propensities, strict=True):
        item_id: RawId = _text(raw) if isinstance(raw, bytes | str) else int(raw)
        if item_id not in (-1, "") or propensity > 0:
            items.append(RecommendedItem(item_id, float(score), float(propensity)))
    return items


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
