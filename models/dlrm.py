"""The ranker: DLRM over a user and that user's candidates, the user's part computed once.

Naumov et al., "Deep learning recommendation model for personalization and recommendation systems", 2019. Every
categorical feature is a vector of the bottom network's width D; every two vectors meet in a dot product; the top
network turns products and dense vectors into a logit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import ConfigError
from ..core.features import Feature, FeatureSchema
from .backend import mm, tf
from .config import DlrmConfig
from .layers import FeatureVectors, continuous, embedding_tables
from .schema import check_names, table_dims, vocabulary

LAST = "last_item"
"""Beside the pooled history, its first item meets every other vector: what comes next depends on it most."""


class SideVectors(tf.keras.layers.Layer):
    """Feature columns of one side [..., L] -> [..., F, D]: a vector for each feature, all of width ``D``.

    Continuous features together give one, through the bottom network; it comes first.
    """

    def __init__(
        self, features: Sequence[Feature], tables: Mapping[str, Any], bottom: Sequence[int], dropout: float, name: str
    ) -> None:
        super().__init__(name=name)
        self.features = tuple(features)
        self.width = bottom[-1]
        self.vectors = FeatureVectors(features, tables)
        self.history = next((f for f in features if f.vocabulary and f.dims[0] > 1), None)
        widths = {f.name: tables[vocabulary(f)].dim for f in self.vectors.features}
        if self.history is not None:
            widths[LAST] = widths[self.history.name]
        self.order = tuple(widths)
        self.project = {
            name: tf.keras.layers.Dense(self.width, use_bias=False, name=f"{name}_project")
            for name, width in widths.items()
            if width != self.width
        }
        dense = any(f.kind == "continuous" for f in features)
        self.bottom = mm.MLPBlock(list(bottom)) if dense else None
        self.dropout = tf.keras.layers.Dropout(dropout)

    @property
    def count(self) -> int:
        """F."""
        return len(self.order) + (self.bottom is not None)

    def call(self, columns: Mapping[str, Any], training: bool = False) -> Any:
        found = self.vectors(columns)
        if self.history is not None:
            found[LAST] = self._last(self.history, columns[self.history.name])
        rows = [self.project[name](found[name]) if name in self.project else found[name] for name in self.order]
        if self.bottom is not None:
            rows = [self.bottom(continuous(self.features, columns)), *rows]
        return self.dropout(tf.stack(rows, axis=-2), training=training)

    def _last(self, history: Feature, codes: Any) -> Any:
        first = codes[..., :1]
        rows = self.vectors.tables[vocabulary(history)](first)
        return rows * tf.cast(first > 0, rows.dtype)


class Dlrm(tf.keras.Model):
    """User and context features [B, L] and item features [B, K, L] -> logits float32 [B, K]."""

    def __init__(self, users: SideVectors, items: SideVectors, top: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.users, self.items = users, items
        self.among_users, self.among_items = mm.DotProductInteraction(), mm.DotProductInteraction()
        first, rest = top[0], list(top[1:])
        self.top_user = tf.keras.layers.Dense(first, use_bias=False, name="top_user")
        self.top_pair = tf.keras.layers.Dense(first, name="top_pair")
        self.top = mm.MLPBlock(rest, no_activation_last_layer=True)

    def call(self, columns: Mapping[str, Any], training: bool = False) -> Any:
        users = self.users({f.name: columns[f.name] for f in self.users.features}, training=training)
        flat, shape = flat_items(columns, [f.name for f in self.items.features])
        items = self.items(flat, training=training)
        per_user = self.top_user(self._own(users, self.users, self.among_users))
        return self._top(per_user, users, items, *shape)[..., 0]

    def _top(self, per_user: Any, users: Any, items: Any, batch: Any, count: Any) -> Any:
        """The first layer of the top network is a sum: the user's share of it is computed once for all candidates.

        Args:
            per_user: [B, first width].
            users: [B, F, D].
            items: [B * K, G, D].
        """
        slots, width = self.items.count, self.items.width
        own = self._own(items, self.items, self.among_items)
        cross = tf.matmul(tf.reshape(items, [batch, count * slots, width]), users, transpose_b=True)
        own = tf.reshape(own, [batch, count, own.shape[-1]])
        cross = tf.reshape(cross, [batch, count, slots * self.users.count])
        pair = self.top_pair(tf.concat([own, cross], axis=-1))
        return self.top(tf.nn.relu(pair + per_user[:, None, :]))

    def _own(self, vectors: Any, side: SideVectors, interaction: Any) -> Any:
        """[n, F, D] -> the dense vector, if the side has one, and the products among the side's vectors [n, ...]."""
        parts = [vectors[:, 0, :]] if side.bottom is not None else []
        parts += [interaction(vectors)] if side.count > 1 else []
        return tf.concat(parts, axis=-1) if parts else tf.zeros([tf.shape(vectors)[0], 1])


def flat_items(columns: Mapping[str, Any], names: Sequence[str]) -> tuple[dict[str, Any], tuple[Any, Any]]:
    """Item features [B, K, L] as [B * K, L], and (B, K)."""
    first = tf.shape(columns[names[0]])
    return {name: tf.reshape(columns[name], [-1, columns[name].shape[-1]]) for name in names}, (first[0], first[1])


def build(schema: FeatureSchema, config: DlrmConfig) -> Dlrm:
    """The ranker. Embeddings of another width than the bottom network's last are projected to it.

    Raises:
        ConfigError: a width for a feature that is not there, or a value that is not built yet.
    """
    if config.interactions != "dot":
        raise ConfigError(f"dlrm_ranker.interactions: {config.interactions!r} is not built yet, use 'dot'")
    if config.top_mlp[-1] != 1 or len(config.top_mlp) < 2:
        raise ConfigError(f"dlrm_ranker.top_mlp: {config.top_mlp} must hold two layers or more and end in 1")
    check_names(schema, config.embedding_dims, "dlrm_ranker.embedding_dims")
    items = schema.side("item")
    users = schema.side("user", "context")
    dims = table_dims(schema, ("user", "context", "item"), config.embedding_dims, config.default_dim)
    tables = embedding_tables([*items, *users], dims)
    return Dlrm(
        SideVectors(users, tables, config.bottom_mlp, config.dropout, "users"),
        SideVectors(items, tables, config.bottom_mlp, config.dropout, "items"),
        config.top_mlp,
    )
