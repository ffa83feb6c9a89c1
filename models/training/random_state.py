"""Random numbers within compiled steps, from one generator whose state is a variable.

TensorFlow's own random ops keep their place where nothing can read it, so a training that draws from them cannot go on
where it was killed. Whatever a step draws, it draws here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .._merlin import tf
from .worker_group import team

PHILOX = 1
"""TensorFlow's number for it."""


def seed(value: int) -> None:
    """Begin anew; functions that were compiled before draw from the old generator."""
    tf.random.set_global_generator(tf.random.Generator.from_seed(value, alg="philox"))


def state() -> Any:
    """The variable that holds where the generator is."""
    return tf.random.get_global_generator().state


def uniform(shape: Any) -> Any:
    """float32 in [0, 1) of this shape; several workers, whose generators are the same, draw different ones."""
    again = _DRAWS.get()
    if again is not None:
        return again.uniform(shape)
    return numbers(*place(tf.reduce_prod(shape)), shape)


def place(count: Any) -> tuple[Any, Any]:
    """Key and counter, uint64 [1] and [2], of the next ``count`` numbers, after which the generator stands then."""
    generator, own = tf.random.get_global_generator(), team()
    if own.count > 1:
        made = tf.raw_ops.StatelessRandomGetKeyCounter(seed=generator.make_seeds(1)[:, 0] + [0, own.index])
        return made.key, made.counter
    before = tf.bitcast(generator.skip(count), tf.uint64)
    return before[2:], before[:2]


def numbers(key: Any, counter: Any, shape: Any) -> Any:
    return tf.raw_ops.StatelessRandomUniformV2(shape=shape, key=key, counter=counter, alg=PHILOX)


class Draws:
    """What a computation on a batch draws, drawn for some of its rows, as often as these are computed.

    Each draw of the computation has as many numbers for every row. Philox counts: number i is made of key and counter +
    i // 4 alone (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
    """

    def __init__(self) -> None:
        self._of_row: list[Any] = []
        """How many numbers of each draw are a row's."""
        self._places: list[tuple[Any, Any]] = []
        self._next: Callable[[Any], Any] | None = None

    def uniform(self, shape: Any) -> Any:
        assert self._next is not None
        return self._next(shape)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Within it the computation, on one row, tells what it draws; all of it is 0."""

        def count(shape: Any) -> Any:
            self._of_row.append(tf.reduce_prod(shape))
            return tf.zeros(shape)

        with self._drawing(count):
            yield

    def begin(self, rows: Any) -> None:
        """Let the generator move on by what a batch of so many rows draws."""
        self._places = [place(rows * count) for count in self._of_row]

    @contextmanager
    def of_rows(self, first: Any) -> Iterator[None]:
        """Within it the computation draws what is of the rows from ``first`` on."""
        places = zip(self._places, self._of_row, strict=True)

        def draw(shape: Any) -> Any:
            (key, counter), of_row = next(places)
            before, count = tf.cast(first * of_row, tf.int64), tf.reduce_prod(shape)
            counter += tf.stack([tf.cast(before // 4, tf.uint64), tf.zeros([], tf.uint64)])
            found = numbers(key, counter, [count + 3])
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
"""Where numbers come from within a computation that is done again."""


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
