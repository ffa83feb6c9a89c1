"""Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998)."""

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


@kernel((read(FLOAT64, 2), read(FLOAT32, 3), read(BOOL, 2), read(INT32, 2), FLOAT64, write(BOOL, 2)))
def diverse_pool(
    relevance: NDArray[np.float64],
    vectors: NDArray[np.float32],
    valid: NDArray[np.bool_],
    sizes: NDArray[np.int32],
    weight: float,
    picked: NDArray[np.bool_],
) -> None:
    """Pick ``sizes[b, 0]`` of the valid candidates of each user, or all where there are not so many.

    Each pick has the largest (1 - weight) * relevance - weight * max cosine with the picks before it, the first
    the largest relevance; the earlier candidate wins a tie. That value can only fall as picks are added, so a
    candidate meets a pick only once nothing better is known (lazy greedy: Minoux 1978); the picks are the same.

    Args:
        relevance: [B, K], within 0 .. 1 where valid.
        vectors: [B, K, D], of any length.
        valid: [B, K].
        sizes: [B, 1].
        weight: lambda; 0 picks by relevance alone.
        picked: [B, K], filled with whether a candidate is picked.
    """
    value, inverse = np.empty(valid.shape[1]), np.empty(valid.shape[1])
    met, picks = np.empty(valid.shape[1], np.int64), np.empty(valid.shape[1], np.int64)
    for user in range(len(valid)):
        picked[user] = False
        # The likely picks first, so that most of the others are passed by; the picks do not depend on it.
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
                value[: len(order)] = np.inf  # from here on the value is another one, bounded by no pick as yet
            value[place] = -np.inf


@inner()
def _roughly_sorted(relevance: NDArray[np.float64], valid: NDArray[np.bool_]) -> Any:
    """Places of the valid ones, int64 [n], by falling relevance up to 1 / BINS: a counting sort."""
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
    """Inner product of two candidates of a user; the sum runs in any order, several lanes at once."""
    total = vectors.dtype.type(0)
    for i in range(vectors.shape[2]):
        total += vectors[user, left, i] * vectors[user, right, i]
    return total
