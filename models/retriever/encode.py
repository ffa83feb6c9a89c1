"""Query and item vectors of a trained retriever, computed in chunks with TensorFlow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..layers.feature_gather import Lookup
from ..training.rows import Events
from .two_tower import TwoTower

CHUNK = 4096
"""Rows computed at once."""


def encode_users(model: TwoTower, lookup: Lookup, events: Events) -> NDArray[np.float32]:
    """Query vectors float32 [n, D] of events."""
    parts = [events.take(np.arange(at, min(at + CHUNK, len(events)))) for at in range(0, len(events), CHUNK)]
    return np.concatenate([model.query(lookup.users(part.queries())).numpy() for part in parts])


def encode_items(model: TwoTower, lookup: Lookup, count: int) -> NDArray[np.float32]:
    """Vectors float32 [count, D] of the item rows 0 .. count - 1."""
    starts = range(0, count, CHUNK)
    parts = [model.candidate(lookup.items(np.arange(at, min(at + CHUNK, count)))).numpy() for at in starts]
    return np.concatenate(parts)
