"""Ranked lists, int64 [U, R] item rows padded with -1: how they are cut, and what they are worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ...models import metrics

Rows = NDArray[np.int64]
"""Item rows [U, R], best first, padded with -1."""

RECALL_AT = (10, 20, 100, 200)
NDCG_AT = (10, 20)
LIST = 10
"""Length of the list that the whole cascade is measured on."""


def membership(rows: Rows, n_items: int) -> csr_matrix:
    """Sparse bool [U, n_items] that holds where an item is in a user's padded ``rows``."""
    users, places = np.nonzero(rows >= 0)
    cells = (np.ones(len(users), bool), (users, rows[users, places]))
    return csr_matrix(cells, shape=(len(rows), n_items), dtype=bool)


def drop(ranked: Rows, seen: csr_matrix, k: int) -> Rows:
    """The first ``k`` of each list that are not in ``seen`` [U, n_items], padded with -1."""
    hidden, _ = metrics.find_hits(ranked, seen)
    keep = ~hidden & (ranked >= 0)
    order = np.argsort(~keep, axis=1, kind="stable")[:, :k]
    kept = np.where(np.take_along_axis(keep, order, axis=1), np.take_along_axis(ranked, order, axis=1), -1)
    return np.pad(kept, ((0, 0), (0, k - kept.shape[1])), constant_values=-1)


def retrieval_metrics(ranked: Rows, relevant: csr_matrix) -> dict[str, float]:
    """recall@{10,20,100,200} and ndcg@{10,20}, means over users."""
    hits, counts = metrics.find_hits(ranked, relevant)
    recall = {f"recall@{k}": float(metrics.recall(hits, counts, k).mean()) for k in RECALL_AT}
    ndcg = {f"ndcg@{k}": float(metrics.ndcg(hits, counts, k).mean()) for k in NDCG_AT}
    return recall | ndcg


def list_metrics(ranked: Rows, relevant: csr_matrix) -> dict[str, float]:
    """ndcg@10, map@10, mrr@10, means over users, and coverage@10: the share of the catalogue shown to anybody."""
    hits, counts = metrics.find_hits(ranked, relevant)
    shown = np.unique(ranked[:, :LIST])
    return {
        f"ndcg@{LIST}": float(metrics.ndcg(hits, counts, LIST).mean()),
        f"map@{LIST}": float(metrics.average_precision(hits, counts, LIST).mean()),
        f"mrr@{LIST}": float(metrics.reciprocal_rank(hits, LIST).mean()),
        f"coverage@{LIST}": float((shown >= 0).sum() / relevant.shape[1]),
    }
