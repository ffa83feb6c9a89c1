"""The retriever alone: query vectors against every item vector, exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .ranking_lists import Rows


def exact_top(
    queries: NDArray[np.float32], vectors: NDArray[np.float32], seen: csr_matrix, k: int, batch_size: int
) -> Rows:
    """The ``k`` unseen items with the largest inner product, [U, k], padded with -1.

    Exact where the served index may be approximate: it is the model that is measured here.

    Args:
        queries: [U, D], the query tower's output.
        vectors: [n_items, D].
        seen: [U, n_items].
    """
    ranked = np.full((len(queries), k), -1, np.int64)
    width = min(k, len(vectors))
    for start in range(0, len(queries), batch_size):
        batch = slice(start, start + batch_size)
        scores = queries[batch] @ vectors.T
        scores[seen[batch].nonzero()] = -np.inf
        first = np.argpartition(-scores, width - 1, axis=1)[:, :width]
        top = np.take_along_axis(scores, first, axis=1)
        order = np.lexsort((first, -top))
        rows = np.take_along_axis(first, order, axis=1)
        hidden = np.isneginf(np.take_along_axis(top, order, axis=1))
        ranked[batch, :width] = np.where(hidden, -1, rows)
    return ranked
