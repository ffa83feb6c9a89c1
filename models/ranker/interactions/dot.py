"""Dot products of all pairs of vectors, as in DLRM.

Naumov et al., "Deep learning recommendation model for personalization and recommendation systems", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._merlin import tf
from ...config import DlrmConfig
from ..item_part import SHARE, SLOTS
from ..side import Layout
from .base import Interaction, Parts

VECTORS = "vectors"


class Dot(Interaction):
    """The top network reads the dot products of all pairs of vectors, and the dense vectors.

    Its first layer is a sum of three terms: of products among the user's vectors, of products among the item's vectors,
    and of products across. Only the last depends on both sides.
    """

    stacked = True

    def __init__(self, users: Layout, items: Layout, config: DlrmConfig) -> None:
        super().__init__(users, items, config)
        self.top_user = tf.keras.layers.Dense(self.hidden, use_bias=False, name="top_user")
        self.top_pair = tf.keras.layers.Dense(self.hidden, name="top_pair")
        self._weight_rows = weight_rows(users, items)

    @property
    def part_widths(self) -> dict[str, int]:
        """The item's concatenated vectors, G * D, and the item's term of the first layer, H."""
        return {SLOTS: self.item_layout.total, SHARE: self.hidden}

    def user_part(self, users: Any) -> Parts:
        return {VECTORS: users, SHARE: self.top_user(own_inputs(users, self.user_layout))}

    def item_part(self, items: Any) -> Parts:
        """The first rows of the kernel belong to the item's own inputs, the rest to the products across."""
        own = own_width(self.item_layout)
        self._build_pair()
        share = tf.matmul(own_inputs(items, self.item_layout), self.top_pair.kernel[:own]) + self.top_pair.bias
        return {SLOTS: tf.reshape(items, [-1, self.item_layout.total]), SHARE: share}

    def pair(self, user: Parts, item: Parts, shape: tuple[Any, Any]) -> Any:
        users, candidates = shape
        slots = candidates if isinstance(candidates, int) else candidates * self.item_layout.count
        vectors = tf.reshape(item[SLOTS], [users, slots, self.item_layout.widths[0]])
        products = tf.matmul(vectors, user[VECTORS], transpose_b=True)
        kernel = self.top_pair.kernel[own_width(self.item_layout) :]
        across = tf.matmul(tf.reshape(products, [-1, kernel.shape[0]]), kernel)
        own = tf.reshape(item[SHARE] + tf.expand_dims(user[SHARE], axis=1), [-1, self.hidden])
        return across + own

    def of_pairs(self, users: Sequence[Any], items: Sequence[Any]) -> Any:
        """One batched matrix product instead of three, and six in the gradients.

        Many products of tiny matrices took a quarter of a training step. The dense vectors are taken from the lists,
        because the gradient of a slice of all vectors would be another tensor of their size.
        """
        if not self.top_user.built:
            self.top_user.build([None, own_width(self.user_layout)])
        self._build_pair()
        sides = ((users, self.user_layout), (items, self.item_layout))
        dense = [tf.squeeze(own[0], axis=1) for own, layout in sides if layout.dense]
        vectors = tf.concat([*users, *items], axis=1)
        products = tf.reshape(gram(vectors), [-1, vectors.shape[1] ** 2])
        first = tf.matmul(tf.concat([*dense, products], axis=1), self._kernel())
        return tf.nn.bias_add(first, self.top_pair.bias)

    def _kernel(self) -> Any:
        """Kernel for the dense vectors and all products [n * n] among the vectors of a user and an item."""
        sides = ((self.top_user.kernel, self.user_layout), (self.top_pair.kernel, self.item_layout))
        widths = [of.widths[0] if of.dense else 0 for _, of in sides]
        dense = [kernel[:width] for (kernel, _), width in zip(sides, widths, strict=True)]
        own = [kernel[width : width + pairs(of)] for (kernel, of), width in zip(sides, widths, strict=True)]
        across = self.top_pair.kernel[own_width(self.item_layout) :]
        products = tf.concat([*own, across, tf.zeros([1, self.hidden])], axis=0)
        return tf.concat([*dense, tf.gather(products, self._weight_rows)], axis=0)

    def _build_pair(self) -> None:
        if not self.top_pair.built:
            self.top_pair.build([None, own_width(self.item_layout) + self.item_layout.count * self.user_layout.count])


@tf.custom_gradient
def gram(vectors: Any) -> Any:
    """All dot products [B, n, n] of vectors [B, n, D]; its gradient takes one product, TensorFlow's two."""

    def gradient(of_products: Any) -> Any:
        return tf.matmul(of_products + tf.linalg.matrix_transpose(of_products), vectors)

    return tf.matmul(vectors, vectors, transpose_b=True), gradient


def weight_rows(users: Layout, items: Layout) -> NDArray[np.int64]:
    """For each product [n * n] of the vectors (the user's first) the row of its weights.

    The rows are those of the user's own products, the item's own and the products across. A product that occurs twice
    has its weights once, and elsewhere the row of zeros after the last.
    """
    own, both = pairs(users) + pairs(items), users.count * items.count
    found = np.full((users.count + items.count,) * 2, own + both)
    found[np.triu_indices(users.count, 1)] = np.arange(pairs(users))
    row, column = np.triu_indices(items.count, 1)
    found[users.count + row, users.count + column] = np.arange(pairs(users), own)
    found[users.count :, : users.count] = np.arange(own, own + both).reshape(items.count, users.count)
    return found.ravel()


def pairs(layout: Layout) -> int:
    """Number of products among the vectors of one side."""
    return layout.count * (layout.count - 1) // 2


def own_inputs(vectors: Any, layout: Layout) -> Any:
    """Vectors [n, F, D] -> the inputs of the top network from one side only, [n, ``own_width``].

    That is the dense vector, if the side has one, and the products among the side's vectors, each pair once.
    """
    # Split rather than slice: the gradient of a slice is a tensor of the whole size, mostly 0.
    parts = [tf.squeeze(tf.split(vectors, [1, layout.count - 1], axis=1)[0], axis=1)] if layout.dense else []
    if layout.count > 1:
        upper = np.ravel_multi_index(np.triu_indices(layout.count, 1), (layout.count, layout.count))
        products = tf.reshape(tf.matmul(vectors, vectors, transpose_b=True), [-1, layout.count**2])
        parts.append(tf.gather(products, upper, axis=1))
    return tf.concat(parts, axis=-1) if parts else tf.zeros([tf.shape(vectors)[0], 1])


def own_width(layout: Layout) -> int:
    """Width of ``own_inputs``; a side with a single vector that is not dense has one input, which is 0."""
    dense = layout.widths[0] if layout.dense else 0
    return max(1, dense + pairs(layout))
