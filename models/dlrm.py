"""The ranker: DLRM over a user and that user's candidates, the user's part computed once.

Naumov et al., "Deep learning recommendation model for personalization and recommendation systems", 2019. Every
categorical feature is a vector of the bottom network's width D; every two vectors meet in a dot product; the top
network turns products and dense vectors into a logit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..core.errors import ConfigError
from ..core.features import Feature, FeatureSchema
from .backend import mm, tf
from .config import DlrmConfig
from .item_part import SHARE, SLOTS
from .layers import FeatureVectors, continuous, embedding_tables
from .randomness import Dropout
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
        self.history = next((f.name for f in features if f.vocabulary and f.dims[0] > 1), None)
        self.vectors = FeatureVectors(features, tables, self.history)
        widths = {f.name: tables[vocabulary(f)].dim for f in self.vectors.features}
        if self.history is not None:
            widths[LAST] = widths[self.history]
        self.order = tuple(widths)
        self.project = {
            name: tf.keras.layers.Dense(self.width, use_bias=False, name=f"{name}_project")
            for name, width in widths.items()
            if width != self.width
        }
        dense = any(f.kind == "continuous" for f in features)
        self.bottom = mm.MLPBlock(list(bottom)) if dense else None
        self.dropout = Dropout(dropout)

    @property
    def count(self) -> int:
        """F."""
        return len(self.order) + (self.bottom is not None)

    def call(self, columns: Mapping[str, Any], training: bool = False) -> Any:
        found = self.vectors(columns)
        if self.history is not None:
            found[self.history], found[LAST] = tf.split(found[self.history], 2, axis=-2)
        for name, project in self.project.items():
            found[name] = tf.expand_dims(project(tf.squeeze(found[name], axis=-2)), axis=-2)
        rows = [found[name] for name in self.order]
        if self.bottom is not None:
            rows = [tf.expand_dims(self.bottom(continuous(self.features, columns)), axis=-2), *rows]
        return self.dropout(tf.concat(rows, axis=-2), training=training)


class Dlrm(tf.keras.Model):
    """User and context features [B, L] and item features [B, K, L] -> logits float32 [B, K].

    The first layer of the top network is a sum of three shares: the user's own vectors', the item's own vectors' and
    that of the products across. The first two depend on one side alone, so the request path computes the user's once
    for all candidates and reads the item's from tables made at export: ``item_part`` and ``pair``.

    Sizes: F user vectors, G item vectors, D their width, H the first layer's width.
    """

    def __init__(self, users: SideVectors, items: SideVectors, top: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.users, self.items = users, items
        first, rest = top[0], list(top[1:])
        self.top_user = tf.keras.layers.Dense(first, use_bias=False, name="top_user")
        self.top_pair = tf.keras.layers.Dense(first, name="top_pair")
        self.top = mm.MLPBlock(rest, no_activation_last_layer=True)

    @property
    def part_widths(self) -> dict[str, int]:
        """An item's part: its vectors side by side, G * D, and its share of the first layer, H."""
        return {SLOTS: self.items.count * self.items.width, SHARE: self.top_pair.units}

    def call(self, columns: Mapping[str, Any], training: bool = False) -> Any:
        users = self.users(of_side(columns, self.users), training=training)
        flat, shape = flat_items(columns, [f.name for f in self.items.features])
        items = self.items(flat, training=training)
        per_user = self.top_user(own_inputs(users, self.users))
        share = tf.reshape(self._item_share(items), [*shape, self.top_pair.units])
        slots = tf.reshape(items, [shape[0], shape[1] * self.items.count, self.items.width])
        return self._logits(users, per_user, slots, share, shape)

    def item_part(self, columns: Mapping[str, Any]) -> Any:
        """Item features [N, L] -> float32 [N, G * D + H], in the order of ``part_widths``."""
        items = self.items(of_side(columns, self.items))
        slots = tf.reshape(items, [-1, self.part_widths[SLOTS]])
        return tf.concat([slots, self._item_share(items)], axis=-1)

    def pair(self, columns: Mapping[str, Any]) -> Any:
        """What ``call`` gives, from user and context features [B, L] and the items' parts [B, K, width]."""
        users = self.users(of_side(columns, self.users))
        per_user = self.top_user(own_inputs(users, self.users))
        slots, share = columns[SLOTS], columns[SHARE]
        slots = tf.reshape(slots, [sizes(slots)[0], -1, self.items.width])
        return self._logits(users, per_user, slots, share, sizes(share)[:2])

    def _logits(self, users: Any, per_user: Any, slots: Any, share: Any, shape: Any) -> Any:
        """Logits [B, K].

        Args:
            users: [B, F, D].
            per_user: [B, H].
            slots: [B, K * G, D].
            share: [B, K, H].
            shape: B and K.
        """
        cross = tf.matmul(slots, users, transpose_b=True)
        kernel = self.top_pair.kernel[own_width(self.items) :]
        pair = tf.matmul(tf.reshape(cross, [-1, kernel.shape[0]]), kernel)
        own = tf.reshape(share + tf.expand_dims(per_user, axis=1), [-1, self.top_pair.units])
        return tf.reshape(self.top(tf.nn.relu(pair + own)), shape)

    def _item_share(self, items: Any) -> Any:
        """[n, G, D] -> [n, H]; the rest of the layer's weights are the products'."""
        own = own_width(self.items)
        if not self.top_pair.built:
            self.top_pair.build([None, own + self.items.count * self.users.count])
        return tf.matmul(own_inputs(items, self.items), self.top_pair.kernel[:own]) + self.top_pair.bias


def of_side(columns: Mapping[str, Any], side: SideVectors) -> dict[str, Any]:
    return {f.name: columns[f.name] for f in side.features}


def own_inputs(vectors: Any, side: SideVectors) -> Any:
    """[n, F, D] -> what the top network sees of one side alone [n, ``own_width``].

    The dense vector, if the side has one, and the products among the side's vectors, each pair once.
    """
    # Split: the gradient of a slice is a copy of the whole, most of it 0.
    parts = [tf.squeeze(tf.split(vectors, [1, side.count - 1], axis=1)[0], axis=1)] if side.bottom is not None else []
    if side.count > 1:
        upper = np.ravel_multi_index(np.triu_indices(side.count, 1), (side.count, side.count))
        products = tf.reshape(tf.matmul(vectors, vectors, transpose_b=True), [-1, side.count**2])
        parts.append(tf.gather(products, upper, axis=1))
    return tf.concat(parts, axis=-1) if parts else tf.zeros([tf.shape(vectors)[0], 1])


def own_width(side: SideVectors) -> int:
    """Width of ``own_inputs``; a side of one vector, without a dense one, has a 0 there."""
    dense = side.width if side.bottom is not None else 0
    return max(1, dense + side.count * (side.count - 1) // 2)


def sizes(values: Any) -> Any:
    """The shape, in ONNX's own type of shapes: ONNX Runtime sees through it where nothing is cast."""
    return tf.shape(values, out_type=tf.int64)


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
