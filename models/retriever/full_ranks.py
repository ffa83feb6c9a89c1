"""Where the item of an event stands in a ranking of all items that its user has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..training.rows import Events

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CHUNK = 512


def target_ranks(
    queries: NDArray[np.float32], vectors: NDArray[np.float32], events: Events, seen: csr_matrix
) -> NDArray[np.int64]:
    """Rank [n] (0 is best) of each event's item by inner product among the items that its user has not in ``seen``.

    Args:
        queries: float32 [n, D].
        vectors: float32 [n_items, D].
        seen: bool [n_users, n_items].
    """
    found = [np.zeros(0, np.int64)]
    for start in range(0, len(events), CHUNK):
        part = slice(start, start + CHUNK)
        scores, targets = queries[part] @ vectors.T, events.item_row[part]
        own = scores[np.arange(len(scores)), targets]
        hidden = seen[events.user_row[part]].tocoo()
        scores[hidden.row, hidden.col] = -np.inf
        found.append((scores > own[:, None]).sum(axis=1))
    return np.concatenate(found)


def full_ndcg(ranks: NDArray[np.int64]) -> float:
    """NDCG without a cut-off for one relevant item each: the mean of 1 / log2(2 + rank).

    It moves with every rank, so a few hundred validation users are enough to tell epochs apart.
    """
    return float(np.mean(1 / np.log2(2.0 + ranks)))


def rank_metrics(ranks: NDArray[np.int64]) -> dict[str, float]:
    """recall@100 and ndcg@10 for one relevant item each, as the evaluation computes them."""
    hits = ranks[:, None] == np.arange(100)
    one = np.ones(len(ranks), np.int64)
    found: dict[str, Any] = {"recall@100": metrics.recall(hits, one, 100), "ndcg@10": metrics.ndcg(hits, one, 10)}
    return {name: float(values.mean()) for name, values in found.items()}
