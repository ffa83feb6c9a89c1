"""Ranks of held-out items among all items of the catalogue that their users have not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..training.rows import Events

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CHUNK = 512
"""Queries scored at once."""


def full_ranks(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    events: Events,
    seen: csr_matrix,
    of: str = "two_tower",
) -> metrics.Values:
    """Rank of each event's item by inner product among the items that its user does not have in ``seen``.

    Args:
        queries: float32 [n, D].
        vectors: float32 [n_items, D].
        seen: bool [n_users, n_items].
        of: what is ranked, for the error: "two_tower, epoch 3".

    Returns:
        float64 [n], 0 is best; items that tie share their mean rank.

    Raises:
        DivergedError: if a score is NaN.
    """
    found = [np.zeros(0)]
    for start in range(0, len(events), CHUNK):
        part = slice(start, start + CHUNK)
        scores, targets = queries[part] @ vectors.T, events.item_row[part]
        rows = np.arange(len(scores))
        own = scores[rows, targets]
        hidden = seen[events.user_row[part]].tocoo()
        scores[hidden.row, hidden.col] = -np.inf
        scores[rows, targets] = own
        found.append(metrics.target_ranks(scores, targets, of))
    return np.concatenate(found)


def rank_metrics(ranks: metrics.Values) -> dict[str, float]:
    """recall@100 and ndcg@10 of ranks [n], each the mean over n events with one relevant item."""
    found = {"recall@100": metrics.target_recall(ranks, 100), "ndcg@10": metrics.target_ndcg(ranks, 10)}
    return {name: float(values.mean()) for name, values in found.items()}
