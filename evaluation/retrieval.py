"""Exact retrieval: the best items by a score that is computed for every item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .ranking_lists import Rows

Scores = Callable[[slice], NDArray[np.floating[Any]]]
"""A slice of users -> their scores [B, n_items] of all items, in an array that the caller may overwrite."""


def exact_top(
    queries: NDArray[np.float32], vectors: NDArray[np.float32], seen: csr_matrix, k: int, batch_size: int
) -> Rows:
    """The ``k`` unseen items with the largest inner products, int64 [U, k], padded with -1.

    The search is exact, unlike that of the served index, so that the model is measured and not the index.

    Args:
        queries: float32 [U, D], the output of the query tower.
        vectors: float32 [n_items, D].
        seen: bool [U, n_items].
        batch_size: users whose scores are computed at once.
    """
    return best(lambda batch: queries[batch] @ vectors.T, seen, k, batch_size)


def best(scores: Scores, seen: csr_matrix, k: int, batch_size: int) -> Rows:
    """The ``k`` unseen items with the largest scores, int64 [U, k], padded with -1. Items of score -inf are left out.

    Items with equal scores are in the order of their rows.
    """
    users, items = seen.shape
    ranked = np.full((users, k), -1, np.int64)
    width = min(k, items)
    for start in range(0, users, batch_size):
        batch = slice(start, start + batch_size)
        value = scores(batch)
        value[seen[batch].nonzero()] = -np.inf
        first = np.argpartition(-value, width - 1, axis=1)[:, :width]
        top = np.take_along_axis(value, first, axis=1)
        order = np.lexsort((first, -top))
        rows = np.take_along_axis(first, order, axis=1)
        hidden = np.isneginf(np.take_along_axis(top, order, axis=1))
        ranked[batch, :width] = np.where(hidden, -1, rows)
    return ranked
