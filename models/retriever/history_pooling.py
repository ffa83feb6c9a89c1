"""Weighted means of a history, at one place of it or at all.

A pool takes vectors [B, N, D] of the items, most recent first, and ``seen`` [B, N], 1 for an item and 0 for padding,
and gives [B, places, times * D] for places 0 .. places - 1. At place p only items p, p + 1, ... count, each by how far
it lies behind p; where there is none of them, the result is 0.
"""

from __future__ import annotations

import math
from typing import Any

from .._merlin import tf
from ..config import HistoryTowerConfig
from ..layers.feature_vectors import weighted_mean
from .causal_masks import allowed, by_distance, softmax


class MeanPool(tf.keras.layers.Layer):
    """The plain mean."""

    times = 1

    def __init__(self, config: HistoryTowerConfig) -> None:
        super().__init__()

    def call(self, vectors: Any, seen: Any, places: int = 1, training: bool = False) -> Any:
        return weighted_mean(vectors, allowed(seen, places))

    def numbers(self, length: int, width: int) -> int:
        """About how many a place needs."""
        return length + width


class RecencyPool(MeanPool):
    """A mean whose weights depend on the distance, which are learned from 1 / (1 + distance) on."""

    def build(self, shape: Any) -> None:
        start = -tf.math.log(tf.range(1, shape[1] + 1, dtype=tf.float32))
        self.log_weight = self.add_weight("log_weight", shape=(shape[1],), initializer=lambda *a, **k: start)

    def call(self, vectors: Any, seen: Any, places: int = 1, training: bool = False) -> Any:
        weights = tf.exp(by_distance(self.log_weight, places))
        return weighted_mean(vectors, allowed(seen, places) * weights)


class AttentionPool(RecencyPool):
    """A mean whose weights depend on distance and item: softmax of bias[distance] + query . item / sqrt(D).

    The query is one vector for all, or a linear map of the item at the place. Both start at 0, where the result is that
    of `RecencyPool`.
    """

    def __init__(self, config: HistoryTowerConfig) -> None:
        super().__init__(config)
        self.learned = config.query == "learned"

    def build(self, shape: Any) -> None:
        super().build(shape)
        width = shape[-1]
        self.query = self.add_weight("query", shape=(width, 1 if self.learned else width), initializer="zeros")

    def call(self, vectors: Any, seen: Any, places: int = 1, training: bool = False) -> Any:
        if self.learned:
            scores = tf.transpose(tf.matmul(vectors, self.query), [0, 2, 1])
        else:
            scores = tf.matmul(tf.matmul(vectors[:, :places], self.query), vectors, transpose_b=True)
        scores /= math.sqrt(vectors.shape[-1])
        mask = allowed(seen, places)
        return tf.matmul(softmax(scores + by_distance(self.log_weight, places), mask), vectors)

    def numbers(self, length: int, width: int) -> int:
        return 3 * length + 2 * width
