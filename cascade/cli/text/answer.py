"""Recommendations as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...core.text_table import table

if TYPE_CHECKING:
    from ...ensemble.protocol.recommendation import Recommendation


def answer_table(answer: Recommendation, titles: Mapping[Any, str] | None = None) -> str:
    """One line for each item: rank, id, title if ``titles`` are given, score, propensity.

    Args:
        titles: raw item id -> title.
    """
    head = ["rank", "item", *(["title"] if titles else []), "score", "propensity"]
    rows = [
        [rank, str(item.item_id), *([titles.get(item.item_id, "")] if titles else []), item.score, item.propensity]
        for rank, item in enumerate(answer.items, start=1)
    ]
    return table(head, rows)


def answer_notes(answer: Recommendation) -> str:
    """Reasons, release, and the time of each step in milliseconds."""
    reasons = ", ".join(answer.reasons) or "none"
    times = ", ".join(f"{name} {ms:.2f}" for name, ms in answer.stages_ms.items())
    return f"reasons: {reasons}; release: {answer.release}\nstages, ms: {times}"
