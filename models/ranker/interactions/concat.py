"""Concatenation of all vectors; how they interact is left to the top network."""

from __future__ import annotations

from typing import Any

from ..._merlin import tf
from ...config import DlrmConfig
from ..item_part import SHARE
from ..side import Layout
from .base import Interaction, Parts


class Concat(Interaction):
    """first layer = W_user u + W_item v + b, so that each candidate costs only one sum."""

    def __init__(self, users: Layout, items: Layout, config: DlrmConfig) -> None:
        super().__init__(users, items, config)
        self.kernel = self.add_weight("kernel", (users.total + items.total, self.hidden), initializer="glorot_uniform")
        self.bias = self.add_weight("bias", (self.hidden,), initializer="zeros")

    @property
    def part_widths(self) -> dict[str, int]:
        """The item's term of the first layer, H."""
        return {SHARE: self.hidden}

    def user_part(self, users: Any) -> Parts:
        return {SHARE: tf.matmul(users, self.kernel[: self.user_layout.total])}

    def item_part(self, items: Any) -> Parts:
        return {SHARE: tf.matmul(items, self.kernel[self.user_layout.total :]) + self.bias}

    def pair(self, user: Parts, item: Parts, shape: tuple[Any, Any]) -> Any:
        return tf.reshape(item[SHARE] + tf.expand_dims(user[SHARE], axis=1), [-1, self.hidden])
