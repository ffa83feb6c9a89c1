"""Metrics of the first k items of a ranked list.

Lists: ``hits`` bool [B, R] says whether the item at each place is relevant, best first; ``relevant`` int [B] says how
many items are relevant to the user, at least one.

One relevant item per row: ``ranks`` float64 [B], 0 is best, as `ranks.target_ranks` gives it; inf where the item is not
among those that were ranked, which counts as 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .ranks import Counts, Values, top_ranks

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Hits = NDArray[np.bool_]
AT_ONCE = 4096
"""Lists looked up at once."""


def find_hits(ranked: NDArray[np.int64], relevant: csr_matrix) -> tuple[Hits, Counts]:
    """Look the ranked items up among the relevant ones.

    Args:
        ranked: int64 [B, R] item rows, best first, padded with -1.
        relevant: [B, n_items], non-zero where the item is relevant to the user.

    Returns:
        hits bool [B, R] and relevant int64 [B], the inputs of the metrics below.
    """
    found = np.empty(ranked.shape, bool)
    for start in range(0, len(ranked), AT_ONCE):
        part = ranked[start : start + AT_ONCE]
        users = np.arange(start, start + len(part))[:, None]
        found[start : start + len(part)] = np.asarray(relevant[users, np.maximum(part, 0)].todense()) != 0
    return found & (ranked >= 0), counts_of(relevant)


def recall(hits: Hits, relevant: Counts, k: int) -> Values:
    """Share [B] of the relevant items that are among the first ``k``."""
    return np.asarray(hits[:, :k].sum(axis=1) / relevant)


def ndcg(hits: Hits, relevant: Counts, k: int) -> Values:
    """Discounted gain [B] of the first ``k`` over the best possible one, with gain 1 and `discounts`.

    Jaervelin and Kekaelaeinen, "Cumulated gain-based evaluation of IR techniques", 2002.
    """
    discount = discounts(k)
    gain = hits[:, :k] @ discount[: hits.shape[1]]
    return np.asarray(gain / np.cumsum(discount)[np.minimum(relevant, k) - 1])


def scored_ndcg(scores: NDArray[np.floating[Any]], relevant: csr_matrix, k: int, of: str = "scores") -> Values:
    """NDCG [B] of the first ``k`` by scores [B, N], with relevant items bool [B, N], at least one in each row.

    Scores that tie share the mean of their ranks, see `ranks.top_ranks`, which says what is an error.
    """
    gain, count = target_ndcg(top_ranks(scores, relevant, k, of), k), counts_of(relevant)
    row, ideal = np.repeat(np.arange(len(scores)), count), np.cumsum(discounts(k))[np.minimum(count, k) - 1]
    return np.asarray(np.bincount(row, gain, len(scores)) / ideal)


def counts_of(relevant: csr_matrix) -> Counts:
    """The number [B] of relevant items."""
    return np.diff(relevant.indptr).astype(np.int64)


def discounts(k: int) -> Values:
    """1 / log2(2 + rank) of the ranks 0 .. k - 1."""
    return np.asarray(1 / np.log2(np.arange(2, k + 2)))


def average_precision(hits: Hits, relevant: Counts, k: int) -> Values:
    """Sum [B] of the precision at each hit among the first ``k``, over min(relevant, k).

    Its mean over users is MAP@k.
    """
    first = hits[:, :k]
    precision = np.cumsum(first, axis=1) / np.arange(1, first.shape[1] + 1)
    return np.asarray((precision * first).sum(axis=1) / np.minimum(relevant, k))


def reciprocal_rank(hits: Hits, k: int) -> Values:
    """1 / rank [B] of the first hit among the first ``k``, where the best rank is 1, or 0 without a hit.

    Its mean over users is MRR@k.
    """
    first = hits[:, :k]
    return np.where(first.any(axis=1), 1 / (1 + first.argmax(axis=1)), 0.0)


def target_recall(ranks: Values, k: int) -> Values:
    """1 [B] where the only relevant item is among the first ``k``, else 0."""
    return np.asarray(ranks < k, np.float64)


def target_ndcg(ranks: Values, k: int | None = None) -> Values:
    """NDCG [B] of the only relevant item: 1 / log2(2 + rank) among the first ``k``, else 0.

    Without ``k`` every rank counts, so a few hundred validation events are enough to tell epochs apart.
    """
    gain = 1 / np.log2(2.0 + ranks)
    return np.asarray(gain if k is None else np.where(ranks < k, gain, 0.0))
