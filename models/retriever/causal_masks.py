"""Who may look at what in a history that is most recent first: places at the items behind them.

Shapes: B histories, N items, P places 0 .. P - 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._merlin import tf

NOTHING = 1e9
"""Taken off the scores of what takes no part."""


def behind(places: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """How far item j lies behind place p, and 1 where it does or is there, else 0; both [places, length]."""
    distance = np.arange(length)[None, :] - np.arange(places)[:, None]
    return np.maximum(distance, 0), (distance >= 0).astype(np.float32)


def allowed(seen: Any, places: int) -> Any:
    """[B, N], 1 for an item and 0 for padding -> [B, P, N], 1 for the items that a place may look at."""
    if places == 1:
        return seen[:, None, :]
    return seen[:, None, :] * behind(places, seen.shape[1])[1]


def by_distance(values: Any, places: int) -> Any:
    """[..., N] by distance -> [..., P, N] by place and item; 0 for items before the place."""
    if places == 1:
        return values[..., None, :]
    distance, causal = behind(places, values.shape[-1])
    return tf.gather(values, distance, axis=-1) * causal


def softmax(scores: Any, mask: Any) -> Any:
    """Softmax over the last axis of what ``mask`` is 1 for; 0 elsewhere, and everywhere if there is nothing."""
    return tf.nn.softmax(scores + (mask - 1) * NOTHING) * mask
