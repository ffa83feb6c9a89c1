"""Dot products, as in DLRM.

Naumov et al., "Deep learning recommendation model for personalization and recommendation systems", 2019.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import tf
from ..config import DlrmConfig
from ..item_part import SHARE, SLOTS
from ..ranker_side import Layout
from .base import Interaction, Parts

VECTORS = "vectors"


class Dot(Interaction):
    """Every two vectors meet in a product; the top network sees the products and the dense vectors.

    Its first layer is a sum of three shares: the user's own products', the item's own products' and that of the
    products across. Only the last needs both.
    """

    stacked = True

    def __init__(self, users: Layout, items: Layout, config: DlrmConfig) -> None:
        super().__init__(users, items, config)
        self.top_user = tf.keras.layers.Dense(self.hidden, use_bias=False, name="top_user")
        self.top_pair = tf.keras.layers.Dense(self.hidden, name="top_pair")

    @property
    def part_widths(self) -> dict[str, int]:
        """An item's vectors side by side, G * D, and its share of the first layer, H."""
        return {SLOTS: self.item_layout.total, SHARE: self.hidden}

    def user_part(self, users: Any) -> Parts:
        return {VECTORS: users, SHARE: self.top_user(own_inputs(users, self.user_layout))}

    def item_part(self, items: Any) -> Parts:
        """The layer's first weights are the item's own; the rest are the products'."""
        own = own_width(self.item_layout)
        if not self.top_pair.built:
            self.top_pair.build([None, own + self.item_layout.count * self.user_layout.count])
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


def own_inputs(vectors: Any, layout: Layout) -> Any:
    """[n, F, D] -> what the top network sees of one side alone [n, ``own_width``].

    The dense vector, if the side has one, and the products among the side's vectors, each pair once.
    """
    # Split: the gradient of a slice is a copy of the whole, most of it 0.
    parts = [tf.squeeze(tf.split(vectors, [1, layout.count - 1], axis=1)[0], axis=1)] if layout.dense else []
    if layout.count > 1:
        upper = np.ravel_multi_index(np.triu_indices(layout.count, 1), (layout.count, layout.count))
        products = tf.reshape(tf.matmul(vectors, vectors, transpose_b=True), [-1, layout.count**2])
        parts.append(tf.gather(products, upper, axis=1))
    return tf.concat(parts, axis=-1) if parts else tf.zeros([tf.shape(vectors)[0], 1])


def own_width(layout: Layout) -> int:
    """Width of ``own_inputs``; a side of one vector, without a dense one, has a 0 there."""
    dense = layout.widths[0] if layout.dense else 0
    return max(1, dense + layout.count * (layout.count - 1) // 2)
