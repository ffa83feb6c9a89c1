"""Random numbers for compiled steps, from one generator whose state is a variable that checkpoints can hold.

The state of TensorFlow's stateful random ops cannot be read, so a training that used them could not resume exactly.
Everything random in a step must be drawn from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .._merlin import tf
from .worker_group import worker_group

PHILOX = 1
"""TensorFlow's number for the Philox algorithm."""


def seed(value: int) -> None:
    """Replace the generator. Functions compiled before this call keep drawing from the old one."""
    tf.random.set_global_generator(tf.random.Generator.from_seed(value, alg="philox"))


def state() -> Any:
    """The variable that holds the generator's state."""
    return tf.random.get_global_generator().state


def uniform(shape: Any) -> Any:
    """Uniform float32 numbers in [0, 1). Workers of a group share the generator's state but draw different numbers."""
    slices = _DRAWS.get()
    if slices is not None:
        return slices.uniform(shape)
    return philox(*reserve(tf.reduce_prod(shape)), shape)


def reserve(count: Any) -> tuple[Any, Any]:
    """Advance the generator by ``count`` numbers; their Philox key and counter, uint64 [1] and [2]."""
    generator, own = tf.random.get_global_generator(), worker_group()
    if own.count > 1:
        made = tf.raw_ops.StatelessRandomGetKeyCounter(seed=generator.make_seeds(1)[:, 0] + [0, own.index])
        return made.key, made.counter
    before = tf.bitcast(generator.skip(count), tf.uint64)
    return before[2:], before[:2]


def philox(key: Any, counter: Any, shape: Any) -> Any:
    """Uniform float32 numbers in [0, 1) from a key and a counter."""
    return tf.raw_ops.StatelessRandomUniformV2(shape=shape, key=key, counter=counter, alg=PHILOX)


class Draws:
    """Repeats the random numbers of a batch for slices of its rows; for gradient checkpointing.

    Each draw of the computation must have equally many numbers for every row. Philox is counter based: number i depends
    only on the key and on counter + i // 4 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
    """

    def __init__(self) -> None:
        self._per_row: list[Any] = []
        """For each draw, its numbers per row."""
        self._reserved: list[tuple[Any, Any]] = []
        """For each draw, key and counter for the whole batch."""
        self._next: Callable[[Any], Any] | None = None

    def uniform(self, shape: Any) -> Any:
        assert self._next is not None
        return self._next(shape)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Within this context, run the computation on one row to record its draws, which are all 0."""

        def count(shape: Any) -> Any:
            self._per_row.append(tf.reduce_prod(shape))
            return tf.zeros(shape)

        with self._drawing(count):
            yield

    def begin(self, rows: Any) -> None:
        """Advance the generator by all draws of a batch of ``rows`` rows."""
        self._reserved = [reserve(rows * count) for count in self._per_row]

    @contextmanager
    def of_rows(self, first: Any) -> Iterator[None]:
        """Within this context, the computation draws the numbers of a slice that starts at row ``first``."""
        reserved = zip(self._reserved, self._per_row, strict=True)

        def draw(shape: Any) -> Any:
            (key, counter), per_row = next(reserved)
            before, count = tf.cast(first * per_row, tf.int64), tf.reduce_prod(shape)
            counter += tf.stack([tf.cast(before // 4, tf.uint64), tf.zeros([], tf.uint64)])
            found = philox(key, counter, [count + 3])
            return tf.reshape(found[before % 4 :][:count], shape)

        with self._drawing(draw):
            yield

    @contextmanager
    def _drawing(self, draw: Callable[[Any], Any]) -> Iterator[None]:
        self._next = draw
        token = _DRAWS.set(self)
        try:
            yield
        finally:
            _DRAWS.reset(token)


_DRAWS: ContextVar[Draws | None] = ContextVar("DRAWS", default=None)
"""Set while a slice is computed."""


class Dropout(tf.keras.layers.Layer):
    """Dropout with numbers from this module: in training, each value is 0 with probability ``rate``, else / (1 - rate).

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
