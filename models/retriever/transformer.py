"""A small causal transformer over a history.

Kang and McAuley, "Self-attentive sequential recommendation", 2018, with layer normalization before each sublayer rather
than after it (Xiong et al., "On layer normalization in the transformer architecture", 2020).

Shapes: B histories, N items, most recent first, P positions 0 .. P - 1, H heads, D width.
"""

from __future__ import annotations

import math
from typing import Any

from .._merlin import tf
from ..config import HistoryTowerConfig
from ..training.random_state import Dropout
from .causal_masks import by_distance, causal_mask, masked_softmax
from .history_pooling import RecencyPool

EPSILON = 1e-6


class LayerNorm(tf.keras.layers.Layer):
    """Each vector minus its mean, divided by its standard deviation, then scaled and shifted.

    Ba et al., "Layer normalization", 2016.
    """

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight("scale", shape=shape[-1:], initializer="ones")
        self.shift = self.add_weight("shift", shape=shape[-1:], initializer="zeros")

    def call(self, values: Any) -> Any:
        centred = values - tf.reduce_mean(values, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
        return centred / tf.sqrt(variance + EPSILON) * self.scale + self.shift


class Attention(tf.keras.layers.Layer):
    """Causal multi-head attention: each position attends to its own item and older ones; [B, N, D] -> [B, P, D].

    Vaswani et al., "Attention is all you need", 2017. Each score has a learned bias for its head and distance (as in
    Raffel et al., "Exploring the limits of transfer learning", 2020), so that all positions share what they learn.
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def build(self, shape: Any) -> None:
        length, width = shape[1:]
        self.query, self.value = tf.keras.layers.Dense(width), tf.keras.layers.Dense(width)
        self.key = tf.keras.layers.Dense(width, use_bias=False)  # a bias would shift all scores of a position equally
        self.out = tf.keras.layers.Dense(width, kernel_initializer="zeros")
        self.bias = self.add_weight("bias", shape=(self.heads, length), initializer="zeros")

    def call(self, values: Any, seen: Any, positions: int) -> Any:
        query = self._split(self.query(values[:, :positions]))
        key, value = self._split(self.key(values)), self._split(self.value(values))
        scores = tf.matmul(query, key, transpose_b=True) / math.sqrt(values.shape[-1] // self.heads)
        weights = masked_softmax(scores + by_distance(self.bias, positions), causal_mask(seen, positions)[:, None])
        found = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])
        return self.out(tf.reshape(found, [-1, positions, values.shape[-1]]))

    def _split(self, values: Any) -> Any:
        """[B, n, D] -> [B, H, n, D / H]."""
        _, count, width = values.shape
        return tf.transpose(tf.reshape(values, [-1, count, self.heads, width // self.heads]), [0, 2, 1, 3])


class Block(tf.keras.layers.Layer):
    """One transformer layer: attention, then a feed-forward network at each position, each with a residual connection.

    Both start at 0, so an untrained transformer returns the item at the position itself (Bachlechner et al., "ReZero is
    all you need", 2021).
    """

    def __init__(self, config: HistoryTowerConfig) -> None:
        super().__init__()
        self.hidden = config.hidden
        self.attention, self.dropout = Attention(config.heads), Dropout(config.dropout)
        self.first, self.second = LayerNorm(), LayerNorm()

    def build(self, shape: Any) -> None:
        self.up = tf.keras.layers.Dense(self.hidden, activation="relu")
        self.down = tf.keras.layers.Dense(shape[-1], kernel_initializer="zeros")

    def call(self, values: Any, seen: Any, positions: int, training: bool = False) -> Any:
        looked = self.attention(self.first(values), seen, positions=positions)
        states = values[:, :positions] + self.dropout(looked, training=training)
        return states + self.dropout(self.down(self.up(self.second(states))), training=training)


class TransformerPool(tf.keras.layers.Layer):
    """The transformer's state at each position, followed by the `RecencyPool` if the config asks for it.

    A pool as in ``history_pooling``. The last layer computes only the positions that are returned.
    """

    def __init__(self, config: HistoryTowerConfig, ordered: bool = True) -> None:
        super().__init__()
        self.config = config
        self.times = 2 if config.recency else 1
        self.blocks = [Block(config) for _ in range(config.layers)]
        self.norm, self.dropout = LayerNorm(), Dropout(config.dropout)
        self.recency = RecencyPool(config, ordered) if config.recency else None

    def build(self, shape: Any) -> None:
        if self.config.positions == "window":
            self.place = self.add_weight("place", shape=shape[1:], initializer="zeros")

    def call(self, vectors: Any, seen: Any, positions: int = 1, training: bool = False) -> Any:
        # Embeddings start small, while the layers return numbers of about 1.
        states = vectors * math.sqrt(vectors.shape[-1])
        if self.config.positions == "window":
            states += self.place
        states = self.dropout(states, training=training)
        for block in self.blocks:
            last = block is self.blocks[-1]
            states = block(states, seen, positions=positions if last else vectors.shape[1], training=training)
        states = self.norm(states) * seen[:, :positions, None]
        if self.recency is None:
            return states
        return tf.concat([states, self.recency(vectors, seen, positions=positions)], axis=-1)

    def numbers(self, length: int, width: int) -> int:
        block = 3 * self.config.heads * length + 12 * width + 2 * self.config.hidden
        return self.config.layers * block + (length + width if self.recency else 0)
