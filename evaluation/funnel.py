"""The funnel: at which step of the cascade each relevant item was lost."""

from __future__ import annotations

from collections.abc import Container, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ..core.signature import Columns
from ..ensemble.graph.ops.order import sigmoid
from ..models.retriever.item_to_item.neighbour_weights import BY_NEIGHBOURS, BY_POPULARITY, BY_VECTOR, EVERY
from ..models.retriever.neighbours import Neighbours
from .ranking_lists import LIST

FATES = ("not_retrieved", "filtered", "ranked_low", "diversified_away", "found")
SOURCES = {"two_tower": BY_VECTOR, "neighbours": BY_NEIGHBOURS, "popular": BY_POPULARITY}
"""Source of candidates -> its bit in ``retrieved_sources``: vectors near the query, and item-item weights."""


def fates(columns: Columns, relevant: csr_matrix, min_score: float) -> NDArray[np.int64]:
    """The fate of each relevant item: an index into ``FATES`` for each non-zero of ``relevant``, int64, in its order.

    - ``filtered``: the user had seen it, or its score is below ``min_score``;
    - ``not_retrieved``: not seen, and not among the candidates;
    - ``ranked_low``: the ranker put at least ``LIST`` candidates before it;
    - ``diversified_away``: among the best ``LIST`` by score, but not in the answer;
    - ``found``: among the first ``LIST`` of the answer.

    Args:
        columns: of one batch: seen_rows [B, S], candidate_rows and logits [B, K], ranked_rows [B, >= LIST].
        relevant: [B, n_items].
        min_score: threshold on the sigmoid of the logit.
    """
    users, items = _pairs(relevant)
    at = columns["candidate_rows"][users] == items
    logits = columns["logits"][users].astype(np.float64)
    own = np.where(at, logits, -np.inf).max(axis=1, initial=-np.inf)
    earlier = np.cumsum(at, axis=1) == 0
    before = (logits > own[:, None]) | ((logits == own[:, None]) & earlier)
    conditions = {
        "found": (columns["ranked_rows"][users, :LIST] == items).any(axis=1),
        "filtered": (columns["seen_rows"][users] == items).any(axis=1),
        "not_retrieved": ~at.any(axis=1),
        "below": sigmoid(own) < min_score,
        "ranked_low": before.sum(axis=1) >= LIST,
    }
    names = ["found", "filtered", "not_retrieved", "filtered", "ranked_low"]
    choices = [np.int64(FATES.index(name)) for name in names]
    return np.select(list(conditions.values()), choices, default=FATES.index("diversified_away"))


def summary(fate: NDArray[np.int64]) -> Mapping[str, Mapping[str, float]]:
    """Count and share of each fate. The counts add up to the number of relevant items, the shares to 1."""
    counts = np.bincount(fate, minlength=len(FATES))
    return {name: {"count": int(n), "share": float(n / len(fate))} for name, n in zip(FATES, counts, strict=True)}


def sources(columns: Columns, relevant: csr_matrix) -> dict[str, NDArray[np.bool_]]:
    """Source -> whether it found each relevant item, bool for each non-zero of ``relevant``, if it is a candidate.

    Args:
        columns: of one batch: candidate_rows [B, K]; source_rows and retrieved_sources [B, R] if the graph has several
            sources. With one, every candidate is from the vectors.
        relevant: [B, n_items].
    """
    users, items = _pairs(relevant)
    listed = (columns["candidate_rows"][users] == items).any(axis=1)
    if "retrieved_sources" not in columns:
        return {"two_tower": listed}
    found_by = np.where(columns["source_rows"][users] == items, columns["retrieved_sources"][users], 0)
    own = found_by.max(axis=1, initial=0)
    return {name: listed & (own & bit > 0) for name, bit in SOURCES.items()}


def used_sources(neighbours: Neighbours | None) -> set[str]:
    """The sources that a release with these item-item weights has; popularity is the row `EVERY` of the weights."""
    if neighbours is None:
        return {"two_tower"}
    weights = np.diff(neighbours.weights.indptr)
    there = {"two_tower": True, "neighbours": weights[EVERY + 1 :].any(), "popular": weights[EVERY] > 0}
    return {name for name, used in there.items() if used}


def source_summary(
    found: Mapping[str, NDArray[np.bool_]], fate: NDArray[np.int64], used: Container[str] = SOURCES
) -> Mapping[str, Mapping[str, float]]:
    """Of each source: the ``count`` of relevant items among the candidates that it found, their ``share`` of all
    relevant items, how many no other source found (``alone``), how many are ``in_answer``, and whether it is ``used``.

    Args:
        found: see `sources`.
        fate: of each relevant item.
        used: the sources that the release has, see `used_sources`.
    """
    by_how_many = np.sum([*found.values()], axis=0)
    return {
        name: {
            "count": int(own.sum()),
            "share": float(own.mean()),
            "alone": int((own & (by_how_many == 1)).sum()),
            "in_answer": int((own & (fate == FATES.index("found"))).sum()),
            "used": name in used,
        }
        for name, own in found.items()
    }


def source_lines(summary: Mapping[str, Mapping[str, float]]) -> list[str]:
    """``two_tower found 812 of the relevant items (45.0%), 31 of them alone; 104 are in the answers``.

    Or ``neighbours: not used``; an older evaluation does not say what is used.
    """
    return [
        f"{name} found {of['count']:,} of the relevant items ({of['share']:.1%}), {of['alone']:,} of them alone; "
        f"{of['in_answer']:,} are in the answers"
        if of.get("used", True)
        else f"{name}: not used"
        for name, of in summary.items()
    ]


def _pairs(relevant: csr_matrix) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The users [P] and items [P, 1] of the non-zeros."""
    return np.repeat(np.arange(relevant.shape[0]), np.diff(relevant.indptr)), relevant.indices[:, None]
