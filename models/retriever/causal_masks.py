"""Causal masks and relative distances for a history that is most recent first.

The encoder at position p sees items p, p + 1, ...: those that came before the moment of p.

Shapes: B histories, N items, P positions 0 .. P - 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._merlin import tf

MASKED = 1e9
"""Subtracted from the scores of masked items."""


def distances(positions: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The distance from each position to each item, at least 0, and 1 where the item is visible there, else 0.

    Both are [positions, length].
    """
    distance = np.arange(length)[None, :] - np.arange(positions)[:, None]
    return np.maximum(distance, 0), (distance >= 0).astype(np.float32)


def causal_mask(seen: Any, positions: int) -> Any:
    """[B, N], 1 for an item and 0 for padding -> [B, P, N], 1 for the items that a position sees."""
    if positions == 1:
        return seen[:, None, :]
    return seen[:, None, :] * distances(positions, seen.shape[1])[1]


def by_distance(values: Any, positions: int) -> Any:
    """Values by distance [..., N] -> values by position and item [..., P, N]; 0 for items that are not visible."""
    if positions == 1:
        return values[..., None, :]
    distance, causal = distances(positions, values.shape[-1])
    return tf.gather(values, distance, axis=-1) * causal


def masked_softmax(scores: Any, mask: Any) -> Any:
    """Softmax over the last axis where ``mask`` is 1; 0 elsewhere, and 0 everywhere if the mask is empty."""
    return tf.nn.softmax(scores + (mask - 1) * MASKED) * mask
