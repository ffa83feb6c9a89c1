"""Random numbers for compiled steps, from one generator whose state is a variable that checkpoints can hold.

The state of TensorFlow's stateful random ops cannot be read, so a training that used them could not resume exactly.
Everything random in a step must be drawn from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
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
    return draw(shape, FLOATS)


def random_bytes(shape: Any) -> Any:
    """Uniform uint8 numbers, four for the time of one of `uniform`."""
    return draw(shape, BYTES)


def draw(shape: Any, numbers: Numbers) -> Any:
    slices = _DRAWS.get()
    if slices is not None:
        return slices.draw(shape, numbers)
    return numbers.made(*reserve(tf.reduce_prod(shape)), shape)


def reserve(count: Any) -> tuple[Any, Any]:
    """Advance the generator by at least ``count`` numbers; their Philox key and counter, uint64 [1] and [2]."""
    generator, own = tf.random.get_global_generator(), worker_group()
    if own.count > 1:
        made = tf.raw_ops.StatelessRandomGetKeyCounter(seed=generator.make_seeds(1)[:, 0] + [0, own.index])
        return made.key, made.counter
    before = tf.bitcast(generator.skip(count), tf.uint64)
    return before[2:], before[:2]


@dataclass(frozen=True)
class Numbers:
    """A kind of random numbers."""

    made: Callable[[Any, Any, Any], Any]
    """Makes numbers of a shape from a Philox key and counter."""
    at_once: int
    """How many come from one count."""
    dtype: Any


def floats(key: Any, counter: Any, shape: Any) -> Any:
    """Uniform float32 numbers in [0, 1)."""
    return tf.raw_ops.StatelessRandomUniformV2(shape=shape, key=key, counter=counter, alg=PHILOX)


def small_integers(key: Any, counter: Any, shape: Any) -> Any:
    """Uniform uint8 numbers."""
    count = tf.reduce_prod(shape)
    words = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[(count + 3) // 4], key=key, counter=counter, alg=PHILOX, dtype=tf.uint32
    )
    return tf.reshape(tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:count], shape)


FLOATS, BYTES = Numbers(floats, 4, tf.float32), Numbers(small_integers, 16, tf.uint8)


class Draws:
    """Repeats the random numbers of a batch for slices of its rows; for gradient checkpointing.

    Each draw of the computation must have equally many numbers for every row. Philox is counter based: number i depends
    only on the key and on counter + i // at_once (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
    """

    def __init__(self) -> None:
        self._per_row: list[Any] = []
        """For each draw, its numbers per row."""
        self._reserved: list[tuple[Any, Any]] = []
        """For each draw, key and counter for the whole batch."""
        self._next: Callable[[Any, Numbers], Any] | None = None

    def draw(self, shape: Any, numbers: Numbers) -> Any:
        assert self._next is not None
        return self._next(shape, numbers)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Within this context, run the computation on one row to record its draws, which are all 0."""

        def count(shape: Any, numbers: Numbers) -> Any:
            self._per_row.append(tf.reduce_prod(shape))
            return tf.zeros(shape, numbers.dtype)

        with self._drawing(count):
            yield

    def begin(self, rows: Any) -> None:
        """Advance the generator by all draws of a batch of ``rows`` rows."""
        self._reserved = [reserve(rows * count) for count in self._per_row]

    @contextmanager
    def of_rows(self, first: Any) -> Iterator[None]:
        """Within this context, the computation draws the numbers of a slice that starts at row ``first``."""
        reserved = zip(self._reserved, self._per_row, strict=True)

        def draw(shape: Any, numbers: Numbers) -> Any:
            (key, counter), per_row = next(reserved)
            before, count = tf.cast(first * per_row, tf.int64), tf.reduce_prod(shape)
            counter += tf.stack([tf.cast(before // numbers.at_once, tf.uint64), tf.zeros([], tf.uint64)])
            found = numbers.made(key, counter, [count + numbers.at_once - 1])
            return tf.reshape(found[before % numbers.at_once :][:count], shape)

        with self._drawing(draw):
            yield

    @contextmanager
    def _drawing(self, draw: Callable[[Any, Numbers], Any]) -> Iterator[None]:
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

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014. The rate is rounded to
    a multiple of 1 / 256 above 0 and below 1: a byte for each value takes a quarter of the time of a float.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, values: Any, training: bool = False) -> Any:
        if not training or not self.rate:
            return values
        dropped = min(max(round(256 * self.rate), 1), 255)
        kept = random_bytes(tf.shape(values)) >= tf.constant(dropped, tf.uint8)
        return values * (tf.cast(kept, values.dtype) * (256 / (256 - dropped)))
