"""The funnel: at which step of the cascade each relevant item was lost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ..core.signature import Columns
from ..ensemble.graph.ops.order import sigmoid
from .ranking_lists import LIST

FATES = ("not_retrieved", "filtered", "ranked_low", "diversified_away", "found")


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
    users = np.repeat(np.arange(relevant.shape[0]), np.diff(relevant.indptr))
    items = relevant.indices[:, None]
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
