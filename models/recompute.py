"""Layers whose activations are computed again when gradients are, instead of being kept from the forward pass.

Chen et al., "Training deep nets with sublinear memory cost", 2016. Only what draws no random numbers may be in them: a
second computation would draw others. Dropout and hidden ids lie outside, so losses are the same with and without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .backend import tf


class Recomputed(tf.keras.layers.Layer):
    """``block``, kept in training only as its input and its output."""

    def __init__(self, block: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.block = block

    def call(self, values: Any, training: bool = False) -> Any:
        return recomputed(self.block, training and self.block.built)(values)

    def compute_output_shape(self, shape: Any) -> Any:
        return self.block.compute_output_shape(shape)


def recomputed(function: Callable[..., Any], again: bool) -> Callable[..., Any]:
    """``function`` of float tensors, recomputed for its gradients if ``again``, which needs all its variables made."""
    wrapped: Callable[..., Any] = tf.recompute_grad(function) if again else function
    return wrapped


def maybe_recomputed(block: Any, recompute: bool) -> Any:
    """A layer as ``training.recompute`` asks for it."""
    return Recomputed(block) if recompute else block
