"""EASE with few weights: each item is explained by its nearest items alone, so that memory is linear in their number.

EASE explains an item's column of the user-item matrix X by all others: column j of its weights B minimizes
|X B_j - X_j|^2 + r |B_j|^2 with B_jj = 0, for which the Gram matrix of all items is inverted (Steck, "Embarrassingly
shallow autoencoders for sparse data", 2019). Here only the K nearest items of j by cosine may have a weight, so each
column is the solution of its own K equations (as in SLIM with neighbours: Ning and Karypis, 2011). On MovieLens 1M and
Beauty, 100 such weights rank as well as the whole matrix, and better than the 100 largest of its weights.

Shapes: U users, C item codes, K neighbours at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....core.kernel import FLOAT32, INT32, INT64, kernel, read, write

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

REGULARIZATION = 100.0
MOST_OF_USER = 1000
"""Items of one user that are counted, drawn at random from more."""
MOST_PAIRS = 400_000_000
"""Pairs of items of one user that are counted in all, which takes some seconds; users are drawn if there are more."""
MOST_COUNTS = 50_000_000
"""The same where there are more pairs of codes than this: the counts then take 8 bytes a pair, 0.4 GB."""
BLOCK = 1 << 22
"""Numbers of the equations that are solved at once."""


def ease(counts: csr_matrix, kept: int, regularization: float = REGULARIZATION) -> csr_matrix:
    """Weights float32 [C, C]: row i holds what item i of a history says for the others, at most ``kept`` of them.

    Args:
        counts: float32 [C, C], see `co_occurrences`.
    """
    from scipy.sparse import csr_matrix

    codes = counts.shape[0]
    start, other = counts.indptr.astype(np.int64), counts.indices.astype(np.int32)
    count = np.ascontiguousarray(counts.data, np.float32)
    near, size = np.full((codes, min(kept, codes)), -1, np.int32), np.zeros(codes, np.int64)
    nearest(start, other, count, np.ascontiguousarray(counts.diagonal(), np.float32), near, size)
    place, weights = np.full(codes, -1, np.int32), np.zeros(near.shape, np.float32)
    order = np.argsort(size, kind="stable")  # columns with as many equations together
    at = int((size == 0).sum())
    while at < codes:
        width = int(size[order[min(codes, at + max(1, BLOCK // near.shape[1] ** 2)) - 1]])
        part = order[at : at + max(1, BLOCK // near.shape[1] ** 2)]
        gram = np.zeros((len(part), width, width), np.float32)
        own = np.zeros((len(part), width), np.float32)
        equations(start, other, count, part, near, place, gram, own)
        gram[:, np.arange(width), np.arange(width)] += regularization
        weights[part, :width] = np.linalg.solve(gram, own[..., None])[..., 0]
        at += len(part)
    column, entry = np.nonzero(near >= 0)
    cells = weights[column, entry], (near[column, entry], column)
    return strongest(csr_matrix(cells, shape=counts.shape), kept)


def co_occurrences(matrix: csr_matrix, user_power: float, seed: int) -> csr_matrix:
    """X'X float32 [C, C], a user with n items counting n^-(2 user_power) as much as another.

    Args:
        matrix: X, float32 [U, C] of 0 and 1.
        user_power: weights count users with many items less; their mean weight is about 1.
        seed: draws users, and items of users, where there are too many to count.
    """
    from scipy.sparse import diags

    matrix = _sampled(matrix, np.random.default_rng(seed))
    sizes = np.maximum(np.diff(matrix.indptr), 1)
    scaled = (diags((sizes / sizes.mean()) ** -user_power) @ matrix).astype(np.float32)
    return (scaled.T.tocsr() @ scaled.tocsr()).tocsr()


def most_counts(sizes: NDArray[np.integer[Any]], codes: int) -> int:
    """An upper bound of the entries of `co_occurrences`, for users with ``sizes`` [U] items of ``codes``."""
    pairs = int(np.square(np.minimum(sizes, MOST_OF_USER), dtype=np.int64).sum())
    return min(pairs, codes**2, MOST_COUNTS)


def _sampled(matrix: csr_matrix, rng: np.random.Generator) -> csr_matrix:
    """Rows of ``matrix`` with at most `MOST_OF_USER` entries, and in all few enough pairs of them to be counted."""
    from scipy.sparse import csr_matrix

    sizes = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    if sizes.max(initial=0) > MOST_OF_USER:
        place = np.empty(matrix.nnz, np.int64)
        place[np.lexsort((rng.random(matrix.nnz), rows))] = np.arange(matrix.nnz)
        keep = place - matrix.indptr[rows] < MOST_OF_USER
        cells = matrix.data[keep], (rows[keep], matrix.indices[keep])
        matrix = csr_matrix(cells, shape=matrix.shape)
        sizes = np.diff(matrix.indptr)
    most = MOST_PAIRS if matrix.shape[1] ** 2 <= MOST_COUNTS else MOST_COUNTS
    users = rng.permutation(len(sizes))
    fit = np.cumsum(np.square(sizes[users], dtype=np.int64)) <= most
    return matrix if fit.all() else matrix[np.sort(users[fit])]


def strongest(weights: csr_matrix, kept: int) -> csr_matrix:
    """The ``kept`` entries of each row that are largest in absolute value, columns in order."""
    from scipy.sparse import csr_matrix

    sizes = np.diff(weights.indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    place = np.empty(weights.nnz, np.int64)
    place[np.lexsort((-np.abs(weights.data), rows))] = np.arange(weights.nnz)
    keep = place - weights.indptr[rows] < kept
    found = csr_matrix((weights.data[keep], (rows[keep], weights.indices[keep])), shape=weights.shape)
    found.sort_indices()
    return found


@kernel(
    (
        *(read(INT64, 1), read(INT32, 1), read(FLOAT32, 1), read(FLOAT32, 1)),
        *(write(INT32, 2), write(INT64, 1)),
    )
)
def nearest(
    start: NDArray[np.int64],
    other: NDArray[np.int32],
    count: NDArray[np.float32],
    own: NDArray[np.float32],
    near: NDArray[np.int32],
    size: NDArray[np.int64],
) -> None:
    """Fill ``near`` [C, K] and ``size`` [C]: the codes nearest to each code by cosine, and how many there are.

    Args:
        start, other, count: the matrix X'X by rows: the entries of row c are ``start[c]`` to ``start[c + 1] - 1``.
        own: [C], its diagonal.
    """
    for code in range(len(size)):
        begin, end = start[code], start[code + 1]
        score = np.empty(end - begin, np.float32)
        for entry in range(begin, end):
            score[entry - begin] = -count[entry] / np.sqrt(own[other[entry]])
            if other[entry] == code:
                score[entry - begin] = np.inf
        found = 0
        for entry in np.argsort(score):
            if found == near.shape[1] or not score[entry] < 0:
                break
            near[code, found] = other[begin + entry]
            found += 1
        size[code] = found


@kernel(
    (
        *(read(INT64, 1), read(INT32, 1), read(FLOAT32, 1), read(INT64, 1), read(INT32, 2)),
        *(write(INT32, 1), write(FLOAT32, 3), write(FLOAT32, 2)),
    )
)
def equations(
    start: NDArray[np.int64],
    other: NDArray[np.int32],
    count: NDArray[np.float32],
    codes: NDArray[np.int64],
    near: NDArray[np.int32],
    place: NDArray[np.int32],
    gram: NDArray[Any],
    own: NDArray[np.float32],
) -> None:
    """Fill ``gram`` [n, W, W] and ``own`` [n, W] from zeros: X'X among the nearest of each code, and with the code.

    Args:
        start, other, count: as in `nearest`.
        codes: [n], codes with at most W nearest ones.
        near: [C, K], as `nearest` gives it.
        place: [C] of -1; it is so afterwards.
    """
    width = gram.shape[1]
    for row in range(len(codes)):
        code = codes[row]
        for at in range(width):
            if near[code, at] >= 0:
                place[near[code, at]] = at
        for at in range(width):
            if near[code, at] < 0:
                break
            for entry in range(start[near[code, at]], start[near[code, at] + 1]):
                if other[entry] == code:
                    own[row, at] = count[entry]
                if place[other[entry]] >= 0:
                    gram[row, at, place[other[entry]]] = count[entry]
        for at in range(width):
            if near[code, at] >= 0:
                place[near[code, at]] = -1
