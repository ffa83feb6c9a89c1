"""DCN-v2, stacked: cross layers over the concatenated vectors, followed by the top network.

Wang et al., "DCN V2: Improved deep & cross network and practical lessons for web-scale learning to rank systems", 2021,
equations 1 (full rank) and 2 (low rank).
"""

from __future__ import annotations

from typing import Any

from ....core.errors import ConfigError
from ..._merlin import tf
from ...config import DlrmConfig
from ..item_part import SHARE, SLOTS
from ..side import Layout
from .base import Interaction, Parts


class CrossLayer(tf.keras.layers.Layer):
    """x_{l+1} = x_0 * (W x_l + b) + x_l, where W is a full matrix or the product U V^T of low rank r.

    It computes what Merlin's `CrossBlock` does. ``inner`` (W or V) is a weight of its own because it is linear in x_l:
    its product may be computed for pieces of x_l and summed.

    Args:
        width: d, the width of x.
        rank: r; None for full rank.
    """

    def __init__(self, width: int, rank: int | None, name: str) -> None:
        super().__init__(name=name)
        start = "truncated_normal"
        self.inner = self.add_weight(f"{name}/inner", (width, rank or width), initializer=start)
        self.outer = self.add_weight(f"{name}/outer", (rank, width), initializer=start) if rank else None
        self.bias = self.add_weight(f"{name}/bias", (width,), initializer="zeros")

    def finish(self, x0: Any, x: Any, inner: Any) -> Any:
        """x_{l+1} [n, d] from x_0 and x_l [n, d] and the product of x_l with ``inner``, [n, d] or [n, r]."""
        projected = inner if self.outer is None else tf.matmul(inner, self.outer)
        return x0 * (projected + self.bias) + x

    def call(self, x0: Any, x: Any) -> Any:
        return self.finish(x0, x, tf.matmul(x, self.inner))


class Cross(Interaction):
    """x_0 holds the vectors of user and item; the first layer of the top network reads x_L.

    The first cross layer's product with x_0 is the sum of a user term and an item term. From x_1 on every number
    depends on both, so the other layers run for each candidate, with the item's vectors from the table.
    """

    def __init__(self, users: Layout, items: Layout, config: DlrmConfig) -> None:
        super().__init__(users, items, config)
        self.width, self.rank = users.total + items.total, config.cross.rank
        if self.rank is not None and self.rank >= self.width:
            raise ConfigError(
                f"dlrm_ranker.cross.rank: is {self.rank}, must be below the {self.width} numbers of all vectors side "
                "by side, or null for full rank"
            )
        self.first, *self.rest = (CrossLayer(self.width, self.rank, f"cross_{i}") for i in range(config.cross.layers))
        self.kernel = self.add_weight("kernel", (self.width, self.hidden), initializer="glorot_uniform")
        self.bias = self.add_weight("bias", (self.hidden,), initializer="zeros")

    @property
    def part_widths(self) -> dict[str, int]:
        """The item's concatenated vectors, and the item's term of the first cross layer: d or r."""
        return {SLOTS: self.item_layout.total, SHARE: self.rank or self.width}

    def user_part(self, users: Any) -> Parts:
        return {SLOTS: users, SHARE: tf.matmul(users, self.first.inner[: self.user_layout.total])}

    def item_part(self, items: Any) -> Parts:
        return {SLOTS: items, SHARE: tf.matmul(items, self.first.inner[self.user_layout.total :])}

    def pair(self, user: Parts, item: Parts, shape: tuple[Any, Any]) -> Any:
        slots, share = item[SLOTS], item[SHARE] + tf.expand_dims(user[SHARE], axis=1)
        users = tf.expand_dims(user[SLOTS], axis=1) + tf.zeros_like(slots[:, :, :1])
        x0 = tf.reshape(tf.concat([users, slots], axis=-1), [-1, self.width])
        x = self.first.finish(x0, x0, tf.reshape(share, [-1, share.shape[-1]]))
        for cross in self.rest:
            x = cross(x0, x)
        return tf.matmul(x, self.kernel) + self.bias
