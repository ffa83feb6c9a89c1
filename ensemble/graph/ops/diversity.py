"""Maximal marginal relevance, MMR (Carbonell and Goldstein, SIGIR 1998)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.kernel import (
    BOOL,
    FLOAT32,
    FLOAT64,
    INT32,
    inner,
    kernel,
    read,
    write,
)

LOWEST = np.finfo(np.float64).min
BINS = 64
"""Precision of the first, approximate sort."""


@kernel((read(FLOAT64, 2), read(FLOAT32, 3), read(BOOL, 2), read(INT32, 2), FLOAT64, write(BOOL, 2)))
def diverse_pool(
    relevance: NDArray[np.float64],
    vectors: NDArray[np.float32],
    valid: NDArray[np.bool_],
    sizes: NDArray[np.int32],
    weight: float,
    picked: NDArray[np.bool_],
) -> None:
    """Pick ``sizes[b, 0]`` of the valid candidates of each user, or all if there are fewer.

    The first pick has the largest relevance. Every further pick has the largest (1 - weight) * relevance - weight *
    maximal cosine with earlier picks. The earlier candidate wins a tie.

    This value can only fall as picks are added. A candidate is therefore compared with a pick only while its value so
    far is the best one (lazy greedy, Minoux 1978). The picks are those of the plain algorithm.

    Args:
        relevance: [B, K], in 0 .. 1 for valid candidates.
        vectors: [B, K, D], of any length.
        valid: [B, K].
        sizes: [B, 1].
        weight: lambda; 0 picks by relevance only.
        picked: [B, K], filled with whether a candidate is picked.
    """
    value, inverse = np.empty(valid.shape[1]), np.empty(valid.shape[1])
    met, picks = np.empty(valid.shape[1], np.int64), np.empty(valid.shape[1], np.int64)
    for user in range(len(valid)):
        picked[user] = False
        # Likely picks first, so that most other candidates are skipped; the picks do not depend on this order.
        order = _roughly_sorted(relevance[user], valid[user])
        for at, c in enumerate(order):
            length = np.sqrt(np.float64(_dot(vectors, user, c, c)))
            inverse[c] = 1 / length if length > 0 else 0
            value[at], met[at] = relevance[user, c], 0
        for count in range(min(sizes[user, 0], len(order))):
            best, place = LOWEST, 0
            for at in range(len(order)):
                if value[at] < best:
                    continue
                c = order[at]
                while met[at] < count and value[at] >= best:
                    other = picks[met[at]]
                    cosine = _dot(vectors, user, c, other) * inverse[c] * inverse[other]
                    met[at] += 1
                    value[at] = min(value[at], (1 - weight) * relevance[user, c] - weight * cosine)
                if value[at] > best or (value[at] == best and c < order[place]):
                    best, place = value[at], at
            picks[count] = order[place]
            picked[user, order[place]] = True
            if count == 0:
                value[: len(order)] = np.inf  # from now on a bound of the MMR value, which no pick has lowered yet
            value[place] = -np.inf


@inner()
def _roughly_sorted(relevance: NDArray[np.float64], valid: NDArray[np.bool_]) -> Any:
    """Positions of the valid candidates, int64 [n], by descending relevance with precision 1 / BINS (counting sort)."""
    ends = np.zeros(BINS + 2, np.int64)
    bins = ((1 - relevance) * BINS).astype(np.int64)
    for place in range(len(valid)):
        if valid[place]:
            ends[bins[place] + 1] += 1
    ends = ends.cumsum()
    order = np.empty(ends[-1], np.int64)
    for place in range(len(valid)):
        if valid[place]:
            order[ends[bins[place]]] = place
            ends[bins[place]] += 1
    return order


@inner(fastmath={"reassoc", "contract", "nsz"})
def _dot(vectors: NDArray[Any], user: int, left: int, right: int) -> Any:
    """Inner product of two candidates of a user. The order of the sum is free, so that it can be vectorized."""
    total = vectors.dtype.type(0)
    for i in range(vectors.shape[2]):
        total += vectors[user, left, i] * vectors[user, right, i]
    return total
