"""Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def diverse_pool(
    relevance: Floats, vectors: Floats, valid: NDArray[np.bool_], sizes: NDArray[np.int64], weight: float
) -> NDArray[np.bool_]:
    """Pick ``sizes[b]`` of the valid candidates of each user, or all where there are not so many.

    Each pick has the largest (1 - weight) * relevance - weight * max cosine with the picks before it, the first
    the largest relevance; the earlier candidate wins a tie.

    Args:
        relevance: [B, K], within 0 .. 1.
        vectors: [B, K, D], of any length.
        valid: bool [B, K].
        sizes: int64 [B].
        weight: lambda; 0 picks by relevance alone.

    Returns:
        bool [B, K], True where picked.
    """
    if weight == 0:
        return by_relevance(relevance, valid, sizes)
    picked = np.zeros_like(valid)
    for user, size in enumerate(sizes.tolist()):
        picked[user, _mmr(relevance[user], vectors[user], valid[user], size, weight)] = True
    return picked


def by_relevance(relevance: Floats, valid: NDArray[np.bool_], sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The ``sizes[b]`` most relevant valid candidates of each user; bool [B, K]."""
    order = np.argsort(np.where(valid, -relevance, np.inf), axis=1, kind="stable")
    picked = np.zeros_like(valid)
    np.put_along_axis(picked, order, np.arange(valid.shape[1]) < sizes[:, None], axis=1)
    return picked & valid


def _mmr(relevance: Floats, vectors: Floats, valid: NDArray[np.bool_], size: int, weight: float) -> list[int]:
    """Positions of one user's picks; four small array operations a pick, on the matrix of all cosines."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    penalty = weight * (unit @ unit.T).astype(np.float64)
    gain = np.where(valid, (1 - weight) * relevance, -np.inf)
    nearest = np.full(gain.shape, -np.inf)
    value = np.where(valid, relevance, -np.inf)
    picks: list[int] = []
    for _ in range(min(size, int(valid.sum()))):
        pick = int(value.argmax())
        picks.append(pick)
        gain[pick] = -np.inf
        np.maximum(nearest, penalty[pick], out=nearest)
        np.subtract(gain, nearest, out=value)
    return picks
