"""Item nearest neighbours: cosine with shrinkage, as in Dacrema et al., "Are we really making much progress?", 2019.

similarity(i, j) = users of both / (sqrt(users of i * users of j) + shrinkage). An item's score is the sum of its
similarities to the user's items that are among its nearest neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from .past import Past
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
    for start in range(0, len(root), step):
        some = slice(start, start + step)
        similar = past.users_in_common(some) / (root[some, None] * root + np.float32(setting.shrinkage))
        own = np.arange(len(similar))
        similar[own, start + own] = 0
        found.append(_largest(similar, setting.neighbours))
    return csr_matrix(vstack(found, format="csr"))


def _largest(rows: NDArray[np.float32], count: int) -> csr_matrix:
    """The ``count`` largest entries of each row [B, n], if above 0."""
    if count < rows.shape[1]:
        places = np.argpartition(-rows, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(rows, places, axis=1)
        owner = np.repeat(np.arange(len(rows)), count)
        kept = csr_matrix((values.ravel(), (owner, places.ravel())), shape=rows.shape)
        kept.eliminate_zeros()
        return kept
    return csr_matrix(rows)


def item_knn_scores(past: Past, setting: ItemKnnSetting) -> UserScores:
    """The scores of a user's positives."""
    towards, taken = nearest_items(past, setting).T.tocsr(), past.matrix[:, past.known]

    def scores(users: NDArray[np.int64]) -> NDArray[np.float32]:
        found = np.zeros((len(users), past.sequences.n_items), np.float32)
        found[:, past.known] = (taken[users] @ towards).toarray()
        return found

    return scores
