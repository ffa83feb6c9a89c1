"""What every interaction is: three functions, so that the request path computes each as seldom as it can."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..._merlin import tf
from ...config import DlrmConfig
from ..side import Layout, beside

Parts = Mapping[str, Any]
"""Name -> tensor."""


class Interaction(tf.keras.layers.Layer):
    """A user's vectors and an item's -> the first layer of the top network, before its activation.

    Sizes: B users with K candidates each, n items, H the layer's width. A side's vectors are [n, F, D] where
    ``stacked``, else [n, W] side by side, W being the side's ``total``.
    """

    stacked: ClassVar[bool] = False
    """Whether it needs all vectors of one width."""

    def __init__(self, users: Layout, items: Layout, config: DlrmConfig) -> None:
        super().__init__(name="interaction")
        self.user_layout, self.item_layout, self.hidden = users, items, config.top_mlp[0]

    @property
    @abstractmethod
    def part_widths(self) -> dict[str, int]:
        """What ``item_part`` gives: name -> width. ``item_share`` is always there."""

    @abstractmethod
    def user_part(self, users: Any) -> Parts:
        """What depends on the user alone, computed once for all candidates: tensors [B, ...]."""

    @abstractmethod
    def item_part(self, items: Any) -> Parts:
        """What depends on the item alone, computed once for a release: [n, width] by ``part_widths``."""

    @abstractmethod
    def pair(self, user: Parts, item: Parts, shape: tuple[Any, Any]) -> Any:
        """The rest, computed for every candidate: [B * K, H].

        Args:
            user: what ``user_part`` gave.
            item: what ``item_part`` gave, as [B, K, width].
            shape: B and K; K is -1 where no axis can be empty.
        """

    def at_once(self, users: Any, items: Any, shape: tuple[Any, Any]) -> Any:
        """The layer [B * K, H] in one go, from both sides' vectors: B users' and B * K items'; ``shape`` is B and K."""
        user, item = self.user_part(users), self.item_part(items)
        rows = {name: tf.reshape(item[name], [*shape, width]) for name, width in self.part_widths.items()}
        return self.pair(user, rows, shape)

    def of_pairs(self, users: Sequence[Any], items: Sequence[Any]) -> Any:
        """The layer [B, H] for users with one candidate each, from both sides' vectors, each [B, 1, D]."""
        shape = (tf.shape(users[0])[0], 1)
        return self.at_once(beside(users, self.stacked), beside(items, self.stacked), shape)
