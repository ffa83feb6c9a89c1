"""Pretrained item vectors as model inputs."""

from __future__ import annotations

from typing import Any

from .._merlin import tf


class Projection(tf.keras.layers.Layer):
    """A linear map of pretrained vectors, float32 [..., W] -> [..., 1, D].

    It has no bias, so a missing vector (all 0) stays 0, like an empty list. ``dim`` is D, as in Merlin's embedding
    tables.
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.dense = tf.keras.layers.Dense(dim, use_bias=False)

    def call(self, vectors: Any) -> Any:
        return tf.expand_dims(self.dense(vectors), axis=-2)
