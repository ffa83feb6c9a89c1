"""Gradient accumulation: take the step of a larger batch in the memory of a smaller one.

If the loss is a mean over independent rows, the mean of the gradients of k batches of equal total weight is the
gradient of one batch of all their rows. That holds for the ranker, except for the rows that its sampler leaves out. It
does not hold for the retriever, whose loss compares the rows of a batch with each other: k batches of B rows compare
each row with B items, one batch of k * B rows with k * B. There, accumulation gives less noisy steps, not more
negatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._merlin import tf


class Accumulation:
    """Sums gradients and applies their mean every ``count`` calls."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.taken = tf.Variable(0, trainable=False, name="accumulated")
        self.sums: list[DenseSum | RowSum] = []

    @property
    def variables(self) -> list[Any]:
        return [self.taken, *(variable for part in self.sums for variable in part.variables)]

    def __call__(self, gradients: Sequence[Any], variables: Sequence[Any], apply: Callable[[list[Any]], None]) -> None:
        """Add a batch's gradients, in the same order at every call; every ``count`` calls, ``apply`` gets the means.

        Args:
            variables: what the gradients are of. A gradient's own shape may be unknown.
        """
        with tf.init_scope():
            self.sums = self.sums or [
                sum_like(v.dtype, v.shape, isinstance(g, tf.IndexedSlices))
                for g, v in zip(gradients, variables, strict=True)
            ]
        for part, gradient in zip(self.sums, gradients, strict=True):
            part.add(gradient)
        self.taken.assign_add(1)

        def step() -> Any:
            apply([part.mean(self.count) for part in self.sums])
            for part in self.sums:
                part.clear()
            return self.taken.assign(0, read_value=False)

        tf.cond(self.taken >= self.count, step, tf.no_op)


def sum_like(dtype: Any, shape: Any, rows: bool) -> DenseSum | RowSum:
    """An empty sum; ``rows``: of sparse gradients."""
    return RowSum(dtype, shape) if rows else DenseSum(dtype, shape)


class DenseSum:
    """The sum of a variable's dense gradients."""

    def __init__(self, dtype: Any, shape: Any) -> None:
        self.total = tf.Variable(tf.zeros(shape, dtype), trainable=False)

    @property
    def variables(self) -> list[Any]:
        return [self.total]

    def add(self, gradient: Any) -> None:
        self.total.assign_add(gradient)

    def mean(self, count: int) -> Any:
        return self.total / count

    def clear(self) -> None:
        self.total.assign(tf.zeros_like(self.total))


class RowSum:
    """The concatenated sparse gradients of an embedding table; a dense sum would take as much memory as the table."""

    def __init__(self, dtype: Any, shape: Any) -> None:
        self.shape = shape
        open_ended = tf.TensorShape([None, *shape[1:]])
        self.values = tf.Variable(tf.zeros([0, *shape[1:]], dtype), trainable=False, shape=open_ended)
        self.rows = tf.Variable(tf.zeros([0], tf.int64), trainable=False, shape=tf.TensorShape([None]))

    @property
    def variables(self) -> list[Any]:
        return [self.values, self.rows]

    def add(self, gradient: Any) -> None:
        self.values.assign(tf.concat([self.values, gradient.values], axis=0))
        self.rows.assign(tf.concat([self.rows, tf.cast(gradient.indices, tf.int64)], axis=0))

    def mean(self, count: int) -> Any:
        return tf.IndexedSlices(
            self.values / count, self.rows.read_value(), tf.constant(self.shape.as_list(), tf.int64)
        )

    def clear(self) -> None:
        self.values.assign(self.values[:0])
        self.rows.assign(self.rows[:0])
