"""Gradient checkpointing: a segment's activations are recomputed for the backward pass instead of kept.

That saves memory for one more forward pass (Chen et al., "Training deep nets with sublinear memory cost", 2016). The
rows of a batch do not depend on each other, so forward and backward pass go slice by slice (as in Gao et al., "Scaling
deep contrastive learning batch size under memory limited setup", 2021). At any moment only one slice's activations are
in memory, whatever the number of layers.

The slices are iterations of a loop because TensorFlow starts an op as soon as its inputs exist. What
`tf.recompute_grad` recomputes depends on inputs only, so it would run during the forward pass, or for several segments
at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._merlin import tf
from .optimizers import sum_duplicates
from .random_state import Draws

SLICES = 8
"""Slices of a batch."""

Columns = Mapping[str, Any]
Segment = Callable[[Columns], Any]


def in_slices(segment: Segment, columns: Columns) -> Any:
    """Compute ``segment(columns)`` in slices.

    The gradients of its variables are the same up to the order of sums; ``columns`` get none. The gradient of an
    embedding table stays sparse, with each row at most once per slice.

    Args:
        segment: takes columns of some rows and returns a float tensor of as many rows, each computed from its own row
            only. Its random numbers, from `random_state`, are those that it would draw for the whole batch.
        columns: tensors [B, ...].

    Returns:
        float [B, ...].
    """
    draws = Draws()
    with draws.counted(), tf.GradientTape() as tape:
        row = segment({name: values[:1] for name, values in columns.items()})  # creates the variables
    rows = tf.shape(next(iter(columns.values())))[0]
    draws.begin(rows)
    size = -(-rows // SLICES)

    def of_slice(at: Any) -> Any:
        with draws.of_rows(at):
            return segment({name: values[at : at + size] for name, values in columns.items()})

    @tf.custom_gradient
    def found() -> tuple[Any, Callable[..., Any]]:
        def gradient(upstream: Any, variables: Sequence[Any]) -> tuple[list[Any], list[Any]]:
            return [], backward(of_slice, upstream, variables, tape.gradient(row, variables), size)

        return forward(of_slice, row, rows, size), gradient

    return found()


def forward(of_slice: Callable[[Any], Any], like: Any, rows: Any, size: Any) -> Any:
    """The concatenated outputs of the slices [B, ...]; ``like`` is an example row [1, ...]."""

    def one(at: Any, parts: Any) -> tuple[Any, Any]:
        return at + size, parts.write(at // size, of_slice(at))

    begin = (0, slice_array(like.dtype, like.shape))
    _, parts = tf.while_loop(lambda at, _: at < rows, one, begin, parallel_iterations=1)
    return parts.concat()


def backward(
    of_slice: Callable[[Any], Any], upstream: Any, variables: Sequence[Any], like: Sequence[Any], size: Any
) -> list[Any]:
    """The gradients of the variables, each sparse or dense as its example in ``like``."""

    def gradients(at: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            found = of_slice(at)
        return [sum_duplicates(of) for of in tape.gradient(found, variables, upstream[at : at + size])]

    def one(at: Any, sums: Sequence[Any]) -> tuple[Any, list[Any]]:
        return at + size, [add(total, of, at // size) for total, of in zip(sums, gradients(at), strict=True)]

    with tf.control_dependencies([upstream]):  # recompute only when the backward pass has come here
        start = tf.constant(0)
    begin = (start, [zero_sum(of, variable) for of, variable in zip(like, variables, strict=True)])
    rows = tf.shape(upstream)[0]
    _, sums = tf.while_loop(lambda at, *_: at < rows, one, begin, parallel_iterations=1)
    return [summed(total, variable) for total, variable in zip(sums, variables, strict=True)]


def zero_sum(gradient: Any, variable: Any) -> Any:
    """An empty sum of a variable's gradients: two arrays of slices if they are sparse, else zeros."""
    if isinstance(gradient, tf.IndexedSlices):
        return slice_array(gradient.values.dtype, gradient.values.shape), slice_array(gradient.indices.dtype, [None])
    return tf.zeros(variable.shape, gradient.dtype)


def add(total: Any, gradient: Any, number: Any) -> Any:
    """The sum ``total`` plus the gradient of slice ``number``."""
    if isinstance(gradient, tf.IndexedSlices):
        values, indices = total
        return values.write(number, gradient.values), indices.write(number, gradient.indices)
    return tf.ensure_shape(total + gradient, total.shape)


def summed(total: Any, variable: Any) -> Any:
    """The gradient that a finished sum holds."""
    if isinstance(total, tuple):
        shape = tf.constant(variable.shape.as_list(), tf.int64)
        return tf.IndexedSlices(*(parts.concat() for parts in total), shape)
    return total


def slice_array(dtype: Any, shape: Any) -> Any:
    """A TensorArray with one entry per slice: any number of rows, the other axes as in ``shape``."""
    return tf.TensorArray(dtype, 0, dynamic_size=True, element_shape=[None, *shape[1:]], infer_shape=False)
