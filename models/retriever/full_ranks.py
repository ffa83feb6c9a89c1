"""Ranks of held-out items among all items of the catalogue that their users have not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.features import HISTORY
from .. import metrics
from ..training.rows import Events
from .neighbours import Neighbours

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Scores = Callable[[slice], Iterable[NDArray[np.float32]]]
"""A slice of events -> their scores [B, n_items] by each of M models, in arrays that the caller may overwrite."""
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

    def scores(part: slice) -> Iterator[NDArray[np.float32]]:
        own = queries[part] @ vectors.T
        yield own if neighbours is None else neighbours.add(events.moment[HISTORY][part], own)

    return np.asarray(ranks_of_each(scores, events, seen, of)[0])


def ranks_of_each(scores: Scores, events: Events, seen: csr_matrix, of: str) -> metrics.Values:
    """Rank of each event's item by each of M models, float64 [M, n]; see `full_ranks`."""
    found: list[metrics.Values] = []
    size = chunk_size(seen.shape[1])
    for start in range(0, max(1, len(events)), size):
        part = slice(start, start + size)
        targets, hidden = events.item_row[part], seen[events.user_row[part]].tocoo()
        rows, ranks = np.arange(len(targets)), []
        for own in scores(part):
            target = own[rows, targets]
            own[hidden.row, hidden.col] = -np.inf
            own[rows, targets] = target
            ranks.append(metrics.target_ranks(own, targets, of))
        found.append(np.stack(ranks))
    return np.concatenate(found, axis=1)


def chunk_size(items: int) -> int:
    """How many events are scored at once."""
    return max(1, min(MOST_EVENTS, MOST_SCORES // items))


def rank_metrics(ranks: metrics.Values) -> dict[str, float]:
    """recall@100 and ndcg@10 of ranks [n], each the mean over n events with one relevant item."""
    found = {"recall@100": metrics.target_recall(ranks, 100), "ndcg@10": metrics.target_ndcg(ranks, 10)}
    return {name: float(values.mean()) for name, values in found.items()}
