"""Ranked lists: item rows int64 [U, R], padded with -1. Masking seen items, and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ..models import metrics
from .list_metrics import metric_values

Rows = NDArray[np.int64]
"""Item rows [U, R], best first, padded with -1."""
Row = NDArray[np.int64]
"""Item rows [W] for everybody, best first."""

RECALL_AT = (10, 20, 100, 200)
NDCG_AT = (10, 20)
BATCH = 256
"""Users ranked at once. It bounds the memory of their scores."""
LIST = 10
"""Length of the list that the whole cascade is measured on."""


def membership(rows: Rows, n_items: int) -> csr_matrix:
    """Sparse bool [U, n_items]: whether an item is in a user's list."""
    users, places = np.nonzero(rows >= 0)
    cells = (np.ones(len(users), bool), (users, rows[users, places]))
    return csr_matrix(cells, shape=(len(rows), n_items), dtype=bool)


def drop(ranked: Rows, seen: csr_matrix, k: int) -> Rows:
    """The first ``k`` items of each list that are not in ``seen`` [U, n_items], padded with -1."""
    hidden, _ = metrics.find_hits(ranked, seen)
    keep = ~hidden & (ranked >= 0)
    order = np.argsort(~keep, axis=1, kind="stable")[:, :k]
    kept = np.where(np.take_along_axis(keep, order, axis=1), np.take_along_axis(ranked, order, axis=1), -1)
    return np.pad(kept, ((0, 0), (0, k - kept.shape[1])), constant_values=-1)


def first_unseen(ordered: Row, seen: csr_matrix, k: int) -> Rows:
    """The first ``k`` items of one list that are not in ``seen`` [U, n_items], for each user, padded with -1."""
    found = np.full((seen.shape[0], k), -1, np.int64)
    for start in range(0, len(found), BATCH):
        hidden = seen[start : start + BATCH]
        enough = ordered[: k + int(np.diff(hidden.indptr).max(initial=0))]
        found[start : start + BATCH] = drop(np.tile(enough, (hidden.shape[0], 1)), hidden, k)
    return found


def retrieval_values(ranked: Rows, relevant: csr_matrix) -> dict[str, metrics.Values]:
    """recall@{10,20,100,200} and ndcg@{10,20} of each user [U]; ``relevant`` is bool [U, n_items]."""
    hits, counts = metrics.find_hits(ranked, relevant)
    recall = {f"recall@{k}": metrics.recall(hits, counts, k) for k in RECALL_AT}
    return recall | {f"ndcg@{k}": metrics.ndcg(hits, counts, k) for k in NDCG_AT}


def list_values(ranked: Rows, relevant: csr_matrix, more: Sequence[str] = ()) -> dict[str, metrics.Values]:
    """recall@10, ndcg@10, map@10, mrr@10 and the metrics named in ``more``, of each user [U]."""
    hits, counts = metrics.find_hits(ranked, relevant)
    return {
        f"recall@{LIST}": metrics.recall(hits, counts, LIST),
        f"ndcg@{LIST}": metrics.ndcg(hits, counts, LIST),
        f"map@{LIST}": metrics.average_precision(hits, counts, LIST),
        f"mrr@{LIST}": metrics.reciprocal_rank(hits, LIST),
        **{f"{name}@{LIST}": metric_values(name, hits, counts, LIST) for name in more},
    }


def means(values: Mapping[str, metrics.Values]) -> dict[str, float]:
    """The mean of each metric over users."""
    return {name: float(each.mean()) for name, each in values.items()}


def coverage(ranked: Rows, n_items: int) -> dict[str, float]:
    """coverage@10: the share of the catalogue that is recommended to at least one user."""
    shown = np.unique(ranked[:, :LIST])
    return {f"coverage@{LIST}": float((shown >= 0).sum() / n_items)}
