"""Random numbers within compiled steps, from one generator whose state is a variable.

TensorFlow's own random ops keep their place where nothing can read it, so a training that draws from them cannot go on
where it was killed. Whatever a step draws, it draws here.
"""

from __future__ import annotations

from typing import Any

from .backend import tf
from .team import team


def seed(value: int) -> None:
    """Begin anew; functions that were compiled before draw from the old generator."""
    tf.random.set_global_generator(tf.random.Generator.from_seed(value, alg="philox"))


def state() -> Any:
    """The variable that holds where the generator is."""
    return tf.random.get_global_generator().state


def uniform(shape: Any) -> Any:
    """float32 in [0, 1) of this shape; several workers, whose generators are the same, draw different ones."""
    generator, own = tf.random.get_global_generator(), team()
    if own.count == 1:
        return generator.uniform(shape)
    return tf.random.stateless_uniform(shape, generator.make_seeds(1)[:, 0] + [0, own.index])


class Dropout(tf.keras.layers.Layer):
    """In training, a share ``rate`` of the numbers is 0 and the rest divided by 1 - rate; else everything as it is.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, values: Any, training: bool = False) -> Any:
        if not training or not self.rate:
            return values
        kept = uniform(tf.shape(values)) >= self.rate
        return tf.where(kept, values / (1 - self.rate), tf.zeros_like(values))
