"""Weighted means of a history, at its first position or at several.

A pool takes item vectors [B, N, D], most recent first, and ``seen`` [B, N], 1 for an item and 0 for padding. It returns
[B, P, times * D] for the positions 0 .. P - 1. At position p only items p, p + 1, ... count, weighted by their distance
from p; the result is 0 where there are none.
"""

from __future__ import annotations

import math
from typing import Any

from .._merlin import tf
from ..config import HistoryTowerConfig
from ..layers.feature_vectors import weighted_mean
from .causal_masks import by_distance, causal_mask, masked_softmax


class MeanPool(tf.keras.layers.Layer):
    """The unweighted mean."""

    times = 1

    def __init__(self, config: HistoryTowerConfig, ordered: bool = True) -> None:
        super().__init__()
        self.ordered = ordered

    def call(self, vectors: Any, seen: Any, positions: int = 1, training: bool = False) -> Any:
        return weighted_mean(vectors, causal_mask(seen, positions))

    def numbers(self, length: int, width: int) -> int:
        """About how many numbers a training step computes per position; for the memory estimate."""
        return length + width


class RecencyPool(MeanPool):
    """A mean with a learned weight per distance, which starts as 1 / (1 + distance); all are 1 without an order."""

    def build(self, shape: Any) -> None:
        start = -tf.math.log(tf.range(1, shape[1] + 1, dtype=tf.float32)) * float(self.ordered)
        self.log_weight = self.add_weight(
            "log_weight", shape=(shape[1],), initializer=lambda *a, **k: start, trainable=self.ordered
        )

    def call(self, vectors: Any, seen: Any, positions: int = 1, training: bool = False) -> Any:
        weights = tf.exp(by_distance(self.log_weight, positions))
        return weighted_mean(vectors, causal_mask(seen, positions) * weights)


class AttentionPool(RecencyPool):
    """A mean whose weights depend on distance and item: softmax of bias[distance] + query . item / sqrt(D).

    The query is one learned vector, or a linear map of the item at the position. Either starts at 0, where the result
    is that of `RecencyPool`.
    """

    def __init__(self, config: HistoryTowerConfig, ordered: bool = True) -> None:
        super().__init__(config, ordered)
        self.learned = config.query == "learned"

    def build(self, shape: Any) -> None:
        super().build(shape)
        width = shape[-1]
        self.query = self.add_weight("query", shape=(width, 1 if self.learned else width), initializer="zeros")

    def call(self, vectors: Any, seen: Any, positions: int = 1, training: bool = False) -> Any:
        if self.learned:
            scores = tf.transpose(tf.matmul(vectors, self.query), [0, 2, 1])
        else:
            scores = tf.matmul(tf.matmul(vectors[:, :positions], self.query), vectors, transpose_b=True)
        scores /= math.sqrt(vectors.shape[-1])
        mask = causal_mask(seen, positions)
        return tf.matmul(masked_softmax(scores + by_distance(self.log_weight, positions), mask), vectors)

    def numbers(self, length: int, width: int) -> int:
        return 3 * length + 2 * width
