"""Segments that are computed again for their gradient rather than kept: less memory, for one more forward pass.

Chen et al., "Training deep nets with sublinear memory cost", 2016. Rows of a batch do not depend on each other, so a
segment is computed one slice of the batch after the other, forth and back (as Gao et al., "Scaling deep contrastive
learning batch size under memory limited setup", 2021): of all that lies between its inputs and its output no more than
a slice's is there at any moment, however few layers it has.

The slices are iterations of a loop, because TensorFlow begins whatever has its inputs: what `tf.recompute_grad` would
compute again needs inputs alone, and runs beside the forward pass or for several segments at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._merlin import tf
from .optimizers import added_up
from .random_state import Draws

SLICES = 8
"""Of a batch."""

Columns = Mapping[str, Any]
Segment = Callable[[Columns], Any]


def in_slices(segment: Segment, columns: Columns) -> Any:
    """``segment(columns)``; its variables learn the same, to the order of sums, and ``columns`` nothing.

    A table of which the segment reads rows has a gradient of rows, each at most once for a slice.

    Args:
        segment: columns of some rows -> a float tensor of as many rows, each computed from its own row alone. What it
            draws at random is what it would draw for the whole batch.
        columns: tensors [B, ...].
    """
    draws = Draws()
    with draws.counted(), tf.GradientTape() as tape:
        like = segment({name: values[:1] for name, values in columns.items()})  # makes what it has of variables
    rows = tf.shape(next(iter(columns.values())))[0]
    draws.begin(rows)
    size = -(-rows // SLICES)

    def of_slice(at: Any) -> Any:
        with draws.of_rows(at):
            return segment({name: values[at : at + size] for name, values in columns.items()})

    @tf.custom_gradient
    def found() -> tuple[Any, Callable[..., Any]]:
        def gradient(upstream: Any, variables: Sequence[Any]) -> tuple[list[Any], list[Any]]:
            return [], backward(of_slice, upstream, variables, tape.gradient(like, variables), size)

        return forward(of_slice, like, rows, size), gradient

    return found()


def forward(of_slice: Callable[[Any], Any], like: Any, rows: Any, size: Any) -> Any:
    """The slices' outputs as one [B, ...]; ``like`` is a row of it."""

    def one(at: Any, parts: Any) -> tuple[Any, Any]:
        return at + size, parts.write(at // size, of_slice(at))

    begin = (0, array(like.dtype, like.shape))
    _, parts = tf.while_loop(lambda at, _: at < rows, one, begin, parallel_iterations=1)
    return parts.concat()


def backward(
    of_slice: Callable[[Any], Any], upstream: Any, variables: Sequence[Any], like: Sequence[Any], size: Any
) -> list[Any]:
    """Gradients of the variables; each of the kind of ``like``, of rows or dense."""

    def gradients(at: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            found = of_slice(at)
        return [added_up(of) for of in tape.gradient(found, variables, upstream[at : at + size])]

    def one(at: Any, sums: Sequence[Any]) -> tuple[Any, list[Any]]:
        return at + size, [add(total, of, at // size) for total, of in zip(sums, gradients(at), strict=True)]

    with tf.control_dependencies([upstream]):  # nothing of it before
        start = tf.constant(0)
    begin = (start, [nothing(of, variable) for of, variable in zip(like, variables, strict=True)])
    rows = tf.shape(upstream)[0]
    _, sums = tf.while_loop(lambda at, *_: at < rows, one, begin, parallel_iterations=1)
    return [whole(total, variable) for total, variable in zip(sums, variables, strict=True)]


def nothing(gradient: Any, variable: Any) -> Any:
    """What a variable's gradients of this kind are added to."""
    if isinstance(gradient, tf.IndexedSlices):
        return array(gradient.values.dtype, gradient.values.shape), array(gradient.indices.dtype, [None])
    return tf.zeros(variable.shape, gradient.dtype)


def add(total: Any, gradient: Any, number: Any) -> Any:
    """``total`` with the gradient of slice ``number``."""
    if isinstance(gradient, tf.IndexedSlices):
        values, indices = total
        return values.write(number, gradient.values), indices.write(number, gradient.indices)
    return tf.ensure_shape(total + gradient, total.shape)


def whole(total: Any, variable: Any) -> Any:
    """The gradient that has been added up."""
    if isinstance(total, tuple):
        shape = tf.constant(variable.shape.as_list(), tf.int64)
        return tf.IndexedSlices(*(parts.concat() for parts in total), shape)
    return total


def array(dtype: Any, shape: Any) -> Any:
    """A place for slices, each of any number of rows, the other axes as in ``shape``."""
    return tf.TensorArray(dtype, 0, dynamic_size=True, element_shape=[None, *shape[1:]], infer_shape=False)
