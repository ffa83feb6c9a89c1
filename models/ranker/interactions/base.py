"""The interface of interactions: three functions, so that the request path computes each as rarely as possible."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..._merlin import tf
from ...config import DlrmConfig
from ..side import Layout, concat_vectors

Parts = Mapping[str, Any]
"""Name -> tensor."""


class Interaction(tf.keras.layers.Layer):
    """Combines the vectors of user and item into the first layer of the top network, before its activation.

    Shapes: B users with K candidates each, n items, H width of the layer. The vectors of a side are [n, F, D] if
    ``stacked``, else concatenated to [n, W], where W is the layout's ``total``.
    """

    stacked: ClassVar[bool] = False
    """Whether all vectors must have the same width."""

    def __init__(self, users: Layout, items: Layout, config: DlrmConfig) -> None:
        super().__init__(name="interaction")
        self.user_layout, self.item_layout, self.hidden = users, items, config.top_mlp[0]

    @property
    @abstractmethod
    def part_widths(self) -> dict[str, int]:
        """Tables of ``item_part`` -> their widths. ``item_share`` must be one of them."""

    @abstractmethod
    def user_part(self, users: Any) -> Parts:
        """What depends only on the user: tensors [B, ...], computed once for all candidates of a request."""

    @abstractmethod
    def item_part(self, items: Any) -> Parts:
        """What depends only on the item: tensors [n, width] as in ``part_widths``, computed once per release."""

    @abstractmethod
    def pair(self, user: Parts, item: Parts, shape: tuple[Any, Any]) -> Any:
        """The layer [B * K, H], computed for every candidate of a request.

        Args:
            user: the result of ``user_part``.
            item: the results of ``item_part``, each [B, K, width].
            shape: B and K; K is -1 where no axis can be empty.
        """

    def at_once(self, users: Any, items: Any, shape: tuple[Any, Any]) -> Any:
        """The layer [B * K, H] directly from the vectors of B users and B * K items; ``shape`` is B and K."""
        user, item = self.user_part(users), self.item_part(items)
        rows = {name: tf.reshape(item[name], [*shape, width]) for name, width in self.part_widths.items()}
        return self.pair(user, rows, shape)

    def of_pairs(self, users: Sequence[Any], items: Sequence[Any]) -> Any:
        """The layer [B, H] for users with one candidate each, from lists of vectors [B, 1, D] of both sides."""
        shape = (tf.shape(users[0])[0], 1)
        return self.at_once(concat_vectors(users, self.stacked), concat_vectors(items, self.stacked), shape)
