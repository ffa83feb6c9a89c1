"""EASE, a linear item-item model in closed form, and the same with more weight on a user's newest items.

Steck, "Embarrassingly shallow autoencoders for sparse data", 2019. With the Gram matrix G of the positives X and
P = (G + regularization)^-1, the weights are B = I - P / diag(P) by column, and the scores of a history x are
x B = x - x P / diag(P).

P is dense. Above `DENSE_ITEMS` items, it is that of the most popular ones, and each of the others is predicted from
these by ridge regression: x P G[popular, other].

Shapes: n items with a positive, H of them dense.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_matrix

from .past import Past
from .registered import UserScores

DENSE_ITEMS = 12_500
"""H at most: P then takes 0.6 GB of float32."""
EXACT_ITEMS = 4_000
"""Up to this many items, P is computed in float64."""
BLOCK = 512
"""Columns of the Gram matrix that are computed at once."""
MOST_OF_USER = 1_000
"""Users with more positives do not count for pairs of a popular and another item, whose number is the product."""


def item_model_bytes(items: int) -> int:
    """Bytes that P takes, or the Gram matrix and P in float64."""
    return 4 * min(items, DENSE_ITEMS) ** 2 if items > EXACT_ITEMS else 24 * items**2


@dataclass(frozen=True)
class EaseSetting:
    """What is tuned."""

    regularization: float = 100.0


@dataclass(frozen=True)
class RecencyEaseSetting(EaseSetting):
    """What is tuned."""

    decay: float = 0.9
    """Weight of an item of the history relative to the next newer one."""


EASE_GRID = {"regularization": (300.0, 30.0, 1000.0, 10.0)}
RECENCY_EASE_GRID = {"decay": (0.98, 0.8, 0.6, 0.4), **EASE_GRID}


@dataclass(frozen=True)
class EaseWeights:
    """The weights, as a function of a history."""

    dense: NDArray[np.int64]
    """[H], rows of the items in P."""
    inverse: NDArray[np.float32]
    """P [H, H]."""
    others: NDArray[np.int64]
    """[n - H], rows of the other items."""
    together: csr_matrix
    """G[popular, other], float32 [H, n - H]."""

    def scores(self, history: csr_matrix) -> NDArray[np.float32]:
        """Scores [B, n_items] of histories [B, n_items]; 0 for an item without a positive."""
        found = np.zeros(history.shape, np.float32)
        own = history[:, self.dense]
        product = np.asarray(own @ self.inverse, np.float32)
        found[:, self.others] = product @ self.together
        found[:, self.dense] = own.toarray() - product / np.diag(self.inverse)
        return found


def ease_weights(past: Past, regularization: float, most: int = DENSE_ITEMS) -> EaseWeights:
    """EASE, fitted to ``past`` once. ``most`` is H at most."""
    return past.once("ease", (regularization, most), lambda: _fit(past, regularization, most))


def _fit(past: Past, regularization: float, most: int) -> EaseWeights:
    popular = past.of_popular_items(most)
    dense, others = popular.known, np.setdiff1d(past.known, popular.known)
    inverse = _inverse(_gram(popular), regularization)
    few = past.matrix[np.flatnonzero(np.diff(past.matrix.indptr) <= MOST_OF_USER if len(others) else [])]
    return EaseWeights(dense, inverse, others, csr_matrix(few[:, dense].T @ few[:, others]))


def _gram(past: Past) -> NDArray[np.floating[Any]]:
    """G [H, H] of the items with a positive, in the order of columns."""
    size = len(past.known)
    kind: type[np.floating[Any]] = np.float64 if size <= EXACT_ITEMS else np.float32
    gram: NDArray[np.floating[Any]] = np.empty((size, size), kind, order="F")
    for start in range(0, size, BLOCK):
        some = slice(start, start + BLOCK)
        gram[:, some] = past.users_in_common(some).T
    return gram


def _inverse(gram: NDArray[np.floating[Any]], regularization: float) -> NDArray[np.float32]:
    """The inverse of a symmetric matrix and the ``regularization`` on its diagonal, in the memory of the matrix.

    It lies in the order of rows, since scipy copies the right side of a sparse product if that is in another order.
    """
    gram[np.diag_indices(len(gram))] += regularization
    potrf, potri = lapack.get_lapack_funcs(("potrf", "potri"), (gram,))
    lower, failed = potrf(gram, lower=True, overwrite_a=True)
    assert not failed, "positive definite by its regularization"
    inverse, _ = potri(lower, lower=True, overwrite_c=True)
    for start in range(0, len(inverse), BLOCK):  # only the lower triangle was computed
        end = start + BLOCK
        corner = np.tril(inverse[start:end, start:end])
        inverse[start:end, start:end] = corner + np.tril(corner, -1).T
        inverse[start:end, end:] = inverse[end:, start:end].T
    return np.asarray(inverse, np.float32).T


def ease_scores(past: Past, setting: EaseSetting) -> UserScores:
    """The scores of a user's positives."""
    weights = ease_weights(past, setting.regularization)
    return lambda users: weights.scores(past.matrix[users])


def recency_ease_scores(past: Past, setting: RecencyEaseSetting) -> UserScores:
    """The scores of a user's positives, the newest of which count most."""
    weights, history = ease_weights(past, setting.regularization), past.weighted(setting.decay)
    return lambda users: weights.scores(history[users])
