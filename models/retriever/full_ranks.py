"""Ranks of held-out items among all items of the catalogue that their users have not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.features import HISTORY
from .. import metrics
from ..training.rows import Events
from .neighbours import Neighbours

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MOST_EVENTS, MOST_SCORES = 512, 1 << 26
"""Events scored at once, and their scores of all items."""


def full_ranks(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    events: Events,
    seen: csr_matrix,
    of: str = "two_tower",
    neighbours: Neighbours | None = None,
) -> metrics.Values:
    """Rank of each event's item by inner product among the items that its user does not have in ``seen``.

    Args:
        queries: float32 [n, D].
        vectors: float32 [n_items, D].
        seen: bool [n_users, n_items].
        of: what is ranked, for the error: "two_tower, epoch 3".
        neighbours: what is added to the inner products.

    Returns:
        float64 [n], 0 is best; items that tie share their mean rank.

    Raises:
        DivergedError: if a score is NaN.
    """
    found: list[metrics.Values] = []
    size = chunk_size(seen.shape[1])
    for start in range(0, max(1, len(events)), size):
        part = slice(start, start + size)
        targets, hidden = events.item_row[part], seen[events.user_row[part]].tocoo()
        own, rows = queries[part] @ vectors.T, np.arange(len(targets))
        if neighbours is not None:
            neighbours.add(events.moment[HISTORY][part], own)
        target = own[rows, targets]
        own[hidden.row, hidden.col] = -np.inf
        own[rows, targets] = target
        found.append(metrics.target_ranks(own, targets, of))
    return np.concatenate(found)


def chunk_size(items: int) -> int:
    """How many events are scored at once."""
    return max(1, min(MOST_EVENTS, MOST_SCORES // items))


def rank_metrics(ranks: metrics.Values) -> dict[str, float]:
    """recall@100 and ndcg@10 of ranks [n], each the mean over n events with one relevant item."""
    found = {"recall@100": metrics.target_recall(ranks, 100), "ndcg@10": metrics.target_ndcg(ranks, 10)}
    return {name: float(values.mean()) for name, values in found.items()}
