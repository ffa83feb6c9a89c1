"""Pretrained vectors of items in the models."""

from __future__ import annotations

from typing import Any

from .._merlin import tf


class Projection(tf.keras.layers.Layer):
    """Pretrained vectors float32 [..., W] -> [..., 1, D].

    Linear and without a bias: a missing vector, 0, stays 0, as an empty list is. ``dim`` is D, as an embedding table
    has it.
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.dense = tf.keras.layers.Dense(dim, use_bias=False)

    def call(self, vectors: Any) -> Any:
        return tf.expand_dims(self.dense(vectors), axis=-2)
