"""Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998) for a batch of users."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
CHUNK = 64
"""Users whose similarity matrices [K, K] are held at once."""


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
    parts = [
        _chunk(relevance[at], vectors[at], valid[at], sizes[at], weight)
        for at in (slice(start, start + CHUNK) for start in range(0, len(relevance), CHUNK))
    ]
    return np.concatenate(parts) if parts else valid.copy()


def by_relevance(relevance: Floats, valid: NDArray[np.bool_], sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The ``sizes[b]`` most relevant valid candidates of each user; bool [B, K]."""
    order = np.argsort(np.where(valid, -relevance, np.inf), axis=1, kind="stable")
    picked = np.zeros_like(valid)
    np.put_along_axis(picked, order, np.arange(valid.shape[1]) < sizes[:, None], axis=1)
    return picked & valid


def _chunk(
    relevance: Floats, vectors: Floats, valid: NDArray[np.bool_], sizes: NDArray[np.int64], weight: float
) -> NDArray[np.bool_]:
    lengths = np.linalg.norm(vectors, axis=2, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    cosine = unit @ unit.transpose(0, 2, 1)
    picked = np.zeros_like(valid)
    open_ = valid.copy()
    value = np.where(open_, relevance, -np.inf)
    nearest = np.full(relevance.shape, -np.inf)
    users = np.arange(len(relevance))
    for step in range(int(min(sizes.max(initial=0), valid.sum(axis=1).max(initial=0)))):
        pick = value.argmax(axis=1)
        picked[users, pick] |= open_[users, pick] & (step < sizes)
        open_[users, pick] = False
        np.maximum(nearest, cosine[users, pick], out=nearest)
        value = np.where(open_, (1 - weight) * relevance - weight * nearest, -np.inf)
    return picked
