"""Item-item models of two small factors, in closed form: what a linear retriever can do without any steps of training.

Each gives two vectors for an item: one that it adds to a query as a part of the history, one that queries meet it with.
Score = sum of the history's vectors . the item's vector. So all are two-tower models, and none needs a user's id.

Shapes: U users, C item codes, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Array = NDArray[np.float32]
Product = Callable[[NDArray[Any]], NDArray[Any]]

EASE_MOST = 5000
"""EASE inverts a dense [C, C] matrix: left out above this many codes, where that takes 0.4 GB."""
EASE_REGULARIZATION = 200.0
EASE_WIDTH = 64
USER_POWER, ITEM_POWER = 0.5, 0.4
"""Users and items are divided by their numbers of positives to the power of this before the SVD."""
IALS_ALPHA, IALS_ITERATIONS = 10.0, 8
IALS_REGULARIZATIONS = 100.0, 30.0
"""Tried: the first is better where users have few events."""
IALS_ITEM_POWER = 0.25
"""Items of a history count less the more popular they are."""
OVERSAMPLING, ROUNDS = 16, 4
"""Of the randomized SVD."""


@dataclass(frozen=True)
class Factors:
    """A linear retriever."""

    name: str
    """svd, ials_100, ials_30 or ease."""
    history: Array
    """[C, D], what an item of the history adds to the query."""
    item: Array
    """[C, D]."""

    def queries(self, codes: NDArray[np.int32]) -> Array:
        """Queries [n, D] of length 1, or 0 for an empty history, of histories [n, N]; the vector of code 0 is 0."""
        summed = np.stack([self.history[row].sum(axis=0) for row in codes])
        return np.asarray(summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12), np.float32)


def names(codes: int) -> list[str]:
    """The factorizations that are tried for ``codes`` item codes."""
    return ["svd", *(f"ials_{value:g}" for value in IALS_REGULARIZATIONS), *(["ease"] if codes <= EASE_MOST else [])]


def most_bytes(users: int, codes: int, positives: int, width: int) -> int:
    """Bytes that it takes at most to try them on ``positives`` of ``users`` with ``codes`` item codes.

    The matrix is held four times, scaled and transposed, that of EASE five times. Users have vectors in SVD and iALS.
    """
    dense = 5 * 4 * codes**2 if codes <= EASE_MOST else 0
    return 4 * 8 * positives + 8 * (width + OVERSAMPLING) * users + 8 * width * codes * len(names(codes)) + dense


def factorization(name: str, matrix: csr_matrix, width: int, seed: int) -> Factors:
    """Fit the one called ``name`` to ``matrix`` float32 [U, C] of 0 and 1, with D = ``width`` at most.

    Raises:
        ValueError: if the matrix has no two users or codes.
    """
    width = min(width, min(matrix.shape) - 1)
    if width < 1:
        raise ValueError(f"expected two users and two codes at least, got a matrix {matrix.shape}")
    if name == "svd":
        return svd(matrix, width, np.random.default_rng(seed))
    if name == "ease":
        return ease(matrix, min(width, EASE_WIDTH), np.random.default_rng(seed))
    return ials(matrix, width, seed, float(name.removeprefix("ials_")))


def svd(matrix: csr_matrix, width: int, rng: np.random.Generator) -> Factors:
    """The items' main axes: Cremonesi et al., "Performance of recommender algorithms on top-n recommendation", 2010."""
    from scipy.sparse import diags

    users, items = (np.maximum(np.asarray(matrix.sum(axis=axis)).ravel(), 1) for axis in (1, 0))
    scaled = (diags(users**-USER_POWER) @ matrix @ diags(items**-ITEM_POWER)).tocsr().astype(np.float32)
    axes = main_axes(lambda x: scaled @ x, lambda y: scaled.T @ y, matrix.shape[1], width, rng)
    scale = (items**ITEM_POWER)[:, None]
    return Factors("svd", np.asarray(axes / scale, np.float32), np.asarray(axes * scale, np.float32))


def ials(matrix: csr_matrix, width: int, seed: int, regularization: float) -> Factors:
    """Item factors V of iALS; the history gives the user's factors, as if all weights were equal: sum V (V'V + l)^-1.

    Hu et al., "Collaborative filtering for implicit feedback datasets", 2008.
    """
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # implicit runs its own threads
        model = AlternatingLeastSquares(
            factors=width,
            regularization=regularization,
            alpha=IALS_ALPHA,
            iterations=IALS_ITERATIONS,
            random_state=seed,
        )
        model.fit(matrix, show_progress=False)
    items = np.asarray(model.item_factors, np.float32)
    counts = np.maximum(np.asarray(matrix.sum(axis=0)).ravel(), 1)[:, None]
    inverse = np.linalg.inv(items.T @ items + regularization * np.eye(width))
    return Factors(f"ials_{regularization:g}", np.asarray(items @ inverse / counts**IALS_ITEM_POWER, np.float32), items)


def ease(matrix: csr_matrix, width: int, rng: np.random.Generator) -> Factors:
    """EASE in few dimensions: its scores X B, projected onto the main axes of them all, users of any size alike.

    Steck, "Embarrassingly shallow autoencoders for sparse data", 2019.
    """
    from scipy.sparse import diags

    inverse = inverse_of(
        (matrix.T @ matrix).toarray() + EASE_REGULARIZATION * np.eye(matrix.shape[1], dtype=np.float32)
    )
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    users = np.maximum(np.asarray(matrix.sum(axis=1)).ravel(), 1)
    scaled = (diags(users**-USER_POWER) @ matrix).tocsr().astype(np.float32)
    axes = main_axes(
        lambda x: scaled @ (weights @ x), lambda y: weights.T @ (scaled.T @ y), matrix.shape[1], width, rng
    )
    return Factors("ease", np.asarray(weights @ axes, np.float32), np.asarray(axes, np.float32))


def inverse_of(matrix: Array) -> Array:
    """The inverse of a symmetric positive definite matrix, by Cholesky in float32: a quarter of `numpy.linalg.inv`."""
    from scipy.linalg.lapack import spotrf, spotri

    factor, failed = spotrf(matrix, lower=1)
    lower, failed_too = spotri(factor, lower=1)
    assert not failed and not failed_too, "a Gram matrix with a regularized diagonal is positive definite"
    lower = np.tril(lower)
    return np.asarray(lower + np.tril(lower, -1).T, np.float32)


def main_axes(forward: Product, backward: Product, size: int, width: int, rng: np.random.Generator) -> Array:
    """The first ``width`` right singular vectors [size, width] of a matrix, by products with it and its transpose.

    Randomized subspace iteration: Halko et al., "Finding structure with randomness", 2011.
    """
    basis = rng.standard_normal((size, min(width + OVERSAMPLING, size)), np.float32)
    for _ in range(ROUNDS):
        left, _ = np.linalg.qr(forward(basis))
        basis, _ = np.linalg.qr(backward(left))
    _, _, axes = np.linalg.svd(forward(basis), full_matrices=False)
    return np.asarray(basis @ axes.T[:, :width], np.float32)
