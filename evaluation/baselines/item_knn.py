"""Item nearest neighbours: cosine with shrinkage, as in Dacrema et al., "Are we really making much progress?", 2019.

similarity(i, j) = users of both / (sqrt(users of i * users of j) + shrinkage). An item's score is the sum of its
similarities to the user's items that are among its nearest neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from .past import KEPT_ITEMS, Past
from .registered import UserScores

BLOCK = 2**24
"""Similarities that are computed at once; 64 MB."""


@dataclass(frozen=True)
class ItemKnnSetting:
    """What is tuned."""

    neighbours: int = 100
    """Nearest neighbours of an item that are kept."""
    shrinkage: float = 10.0
    """Lowers the similarity of items with few users in common."""


GRID = {"shrinkage": (0.0, 50.0, 200.0), "neighbours": (20, 50, 200, 500)}


def nearest_items(past: Past, setting: ItemKnnSetting) -> csr_matrix:
    """Similarities float32 [n, n] of the items with a positive: row i holds the neighbours of item i."""
    root = np.sqrt(past.counts[past.known], dtype=np.float32)
    found, step = [csr_matrix((0, len(root)), dtype=np.float32)], max(1, BLOCK // max(1, len(root)))
    nearest = _of_dense if len(root) <= KEPT_ITEMS else _of_sparse
    for start in range(0, len(root), step):
        found.append(nearest(past, slice(start, start + step), root, setting))
    return csr_matrix(vstack(found, format="csr"))


def _of_dense(past: Past, some: slice, root: NDArray[np.float32], setting: ItemKnnSetting) -> csr_matrix:
    """The neighbours of ``some`` items, from the whole matrix, which is computed once."""
    similar = past.users_in_common(some) / (root[some, None] * root + np.float32(setting.shrinkage))
    own = np.arange(len(similar))
    similar[own, some.start + own] = 0
    count = min(setting.neighbours, len(root))
    places = np.argpartition(-similar, count - 1, axis=1)[:, :count]
    cells = np.take_along_axis(similar, places, axis=1).ravel(), (np.repeat(own, count), places.ravel())
    kept = csr_matrix(cells, shape=similar.shape)
    kept.eliminate_zeros()
    return kept


def _of_sparse(past: Past, some: slice, root: NDArray[np.float32], setting: ItemKnnSetting) -> csr_matrix:
    """The same where the matrix would not fit into memory."""
    pairs = past.pairs(some).tocoo()
    apart = pairs.col != some.start + pairs.row
    row, column = pairs.row[apart], pairs.col[apart]
    value = pairs.data[apart] / (root[some][row] * root[column] + np.float32(setting.shrinkage))
    order = np.lexsort((-value, row))
    rank = np.arange(len(order)) - np.searchsorted(row[order], row[order])
    best = order[rank < setting.neighbours]
    return csr_matrix((value[best], (row[best], column[best])), shape=pairs.shape)


def item_knn_scores(past: Past, setting: ItemKnnSetting) -> UserScores:
    """The scores of a user's positives."""
    towards, taken = nearest_items(past, setting).T.tocsr(), past.matrix[:, past.known]

    def scores(users: NDArray[np.int64]) -> NDArray[np.float32]:
        found = np.zeros((len(users), past.sequences.n_items), np.float32)
        found[:, past.known] = (taken[users] @ towards).toarray()
        return found

    return scores
