"""The ranker: DLRM over a user and that user's candidates, the user's part computed once.

Naumov et al., "Deep learning recommendation model for personalization and recommendation systems", 2019. Every feature
becomes a vector, the vectors of user and item meet in an interaction (`interactions`), and the top network turns what
comes of it into a logit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import ConfigError
from ..core.features import FeatureSchema
from .backend import mm, tf
from .config import DlrmConfig
from .heads import combine, shares
from .interactions import INTERACTIONS, Interaction
from .item_part import SHARE
from .layers import embedding_tables
from .ranker_side import SideVectors
from .schema import check_names, table_dims


class Dlrm(tf.keras.Model):
    """User and context features [B, L] and item features [B, K, L] -> logits float32 [B, K].

    The interaction tells what depends on one side alone, so the request path computes the user's part once for all
    candidates and reads the item's from tables made at export: ``item_part`` and ``pair``.

    Args:
        top: widths of the top network after its first layer.
        share: each label's share of the score. Several labels have a top network each, from the second layer on.
    """

    def __init__(
        self,
        users: SideVectors,
        items: SideVectors,
        interaction: Interaction,
        top: Sequence[int],
        share: Sequence[float] = (1.0,),
    ) -> None:
        super().__init__()
        self.users, self.items, self.interaction = users, items, interaction
        self.heads = [mm.MLPBlock(list(top), no_activation_last_layer=True) for _ in share]
        self.share = tuple(share)

    @property
    def part_widths(self) -> dict[str, int]:
        """The tables of an item's part -> their widths."""
        return self.interaction.part_widths

    def call(self, columns: Mapping[str, Any], training: bool = False, heads: bool = False) -> Any:
        """Logits [B, K]; with ``heads`` those of each label, [B, K, T]."""
        users = self.users(of_side(columns, self.users), training=training)
        flat, shape = flat_items(columns, [f.name for f in self.items.features])
        items = self.items(flat, training=training)
        user, item = self.interaction.user_part(users), self.interaction.item_part(items)
        rows = {name: tf.reshape(item[name], [*shape, width]) for name, width in self.part_widths.items()}
        logits = self._heads(self.interaction.pair(user, rows, shape))
        if heads:
            return tf.reshape(tf.concat(logits, axis=-1), [*shape, len(logits)])
        return tf.reshape(combine(logits, self.share), shape)

    def item_part(self, columns: Mapping[str, Any]) -> Any:
        """Item features [N, L] -> float32 [N, sum of widths], in the order of ``part_widths``."""
        part = self.interaction.item_part(self.items(of_side(columns, self.items)))
        return tf.concat([part[name] for name in self.part_widths], axis=-1)

    def pair(self, columns: Mapping[str, Any]) -> Any:
        """What ``call`` gives, from user and context features [B, L] and the items' parts [B, K, width]."""
        user = self.interaction.user_part(self.users(of_side(columns, self.users)))
        shape = sizes(columns[SHARE])[:2]
        logits = self._heads(self.interaction.pair(user, columns, (shape[0], -1)))
        return tf.reshape(combine(logits, self.share), shape)

    def _heads(self, first: Any) -> list[Any]:
        """Each label's logits [n, 1] from the first layer before its activation [n, H]."""
        shown = tf.nn.relu(first)
        return [head(shown) for head in self.heads]


def of_side(columns: Mapping[str, Any], side: SideVectors) -> dict[str, Any]:
    return {f.name: columns[f.name] for f in side.features}


def sizes(values: Any) -> Any:
    """The shape, in ONNX's own type of shapes: ONNX Runtime sees through it where nothing is cast."""
    return tf.shape(values, out_type=tf.int64)


def flat_items(columns: Mapping[str, Any], names: Sequence[str]) -> tuple[dict[str, Any], tuple[Any, Any]]:
    """Item features [B, K, L] as [B * K, L], and (B, K)."""
    first = tf.shape(columns[names[0]])
    return {name: tf.reshape(columns[name], [-1, columns[name].shape[-1]]) for name in names}, (first[0], first[1])


def build(schema: FeatureSchema, config: DlrmConfig) -> Dlrm:
    """The ranker. Dot products need vectors of one width: there, embeddings are projected to the bottom network's last.

    Raises:
        ConfigError: a width for a feature that is not there, or widths that do not fit together.
    """
    if config.top_mlp[-1] != 1 or len(config.top_mlp) < 2:
        raise ConfigError(f"dlrm_ranker.top_mlp: {config.top_mlp} must hold two layers or more and end in 1")
    check_names(schema, config.embedding_dims, "dlrm_ranker.embedding_dims")
    sides = {"users": schema.side("user", "context"), "items": schema.side("item")}
    dims = table_dims(schema, ("user", "context", "item"), config.embedding_dims, config.default_dim)
    tables = embedding_tables([*sides["items"], *sides["users"]], dims)
    kind = INTERACTIONS[config.interactions]
    users, items = (
        SideVectors(features, tables, config.bottom_mlp, config.dropout, kind.stacked, name)
        for name, features in sides.items()
    )
    interaction = kind(users.layout, items.layout, config)
    return Dlrm(users, items, interaction, config.top_mlp[1:], shares(config.labels))
