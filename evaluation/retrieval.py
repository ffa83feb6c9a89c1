"""Exact retrieval: the best items by a score that is computed for every item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ..models.retriever.neighbours import Neighbours
from .ranking_lists import Rows

MOST_SCORES = 1 << 24
"""Scores computed at once, whatever the number of items and ``evaluation.batch_size``."""
Scores = Callable[[slice], NDArray[np.floating[Any]]]
"""A slice of users -> their scores [B, n_items] of all items, in an array that the caller may overwrite."""


@dataclass(frozen=True)
class HistoryScores:
    """What the items of the histories of U requests say for each item, beside the inner products.

    ``histories``: int [U, N], item codes, newest first, padded with 0. ``items``: the rows of the items that are
    scored; all of them by default.
    """

    neighbours: Neighbours
    histories: NDArray[np.integer[Any]]
    items: NDArray[np.int64] | None = None

    def add(self, users: slice, scores: NDArray[np.float32]) -> None:
        """Add to the ``scores`` [B, items] of some users, in place."""
        said = self.neighbours.scores(self.histories[users])
        said = said if self.items is None else said[:, self.items]
        scores[np.repeat(np.arange(len(scores)), np.diff(said.indptr)), said.indices] += said.data

    def take(self, users: NDArray[np.bool_], items: NDArray[np.int64]) -> HistoryScores:
        """The same for some of the users, and the items in these rows."""
        return HistoryScores(self.neighbours, self.histories[users], items)


def exact_top(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    seen: csr_matrix,
    k: int,
    batch_size: int,
    of_history: HistoryScores | None = None,
) -> Rows:
    """The ``k`` unseen items with the largest scores of the retriever, int64 [U, k], padded with -1.

    A score is the inner product, plus what the history says if the retriever has item-item weights.

    The search is exact, unlike that of the served index, so that the model is measured and not the index.

    Args:
        queries: float32 [U, D], the output of the query tower.
        vectors: float32 [n_items, D].
        seen: bool [U, n_items].
        batch_size: users whose scores are computed at once.
        of_history: what the history of each user says.
    """

    def scores(batch: slice) -> NDArray[np.floating[Any]]:
        found = np.asarray(queries[batch] @ vectors.T)
        if of_history is not None:
            of_history.add(batch, found)
        return found

    return best(scores, seen, k, batch_size)


def best(scores: Scores, seen: csr_matrix, k: int, batch_size: int) -> Rows:
    """The ``k`` unseen items with the largest scores, int64 [U, k], padded with -1. Items of score -inf are left out.

    Items with equal scores are in the order of their rows.
    """
    users, items = seen.shape
    ranked = np.full((users, k), -1, np.int64)
    width, size = min(k, items), max(1, min(batch_size, MOST_SCORES // items))
    for start in range(0, users, size):
        batch = slice(start, start + size)
        value = scores(batch)
        value[seen[batch].nonzero()] = -np.inf
        first = np.argpartition(-value, width - 1, axis=1)[:, :width]
        top = np.take_along_axis(value, first, axis=1)
        order = np.lexsort((first, -top))
        rows = np.take_along_axis(first, order, axis=1)
        hidden = np.isneginf(np.take_along_axis(top, order, axis=1))
        ranked[batch, :width] = np.where(hidden, -1, rows)
    return ranked
