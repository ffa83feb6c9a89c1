"""Target attention: each candidate weighs the user's history for itself.

Zhou et al., "Deep interest network for click-through rate prediction", 2018, equation 3: what a user makes of a
candidate v is sum_j a(e_j, v) e_j over the items e_j of the history, and the weights a are not normalized, so that a
history with more of the candidate's like says so. Here a is a scaled product (Vaswani et al., "Attention is all you
need", 2017) rather than a network over each pair, whose first layer alone would cost more than the rest of the ranker.

Shapes: B users, K candidates of each, n items, N items of a history, D width of their vectors, R heads, H width of the
top network's first layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.features import GAP, HISTORY, FeatureSchema
from .._merlin import tf
from ..config import DlrmConfig, RankerHistoryConfig
from ..layers.history_items import (
    ItemTables,
    ItemVectors,
    by_code,
    item_features,
)
from ..layers.schema import vocabulary
from ..training.random_state import Dropout
from .item_part import QUERY
from .side import Layout

KEY = "dlrm_ranker.history.features"
ITEMS, VALUES = "history_items", "history_values"


class TargetAttention(tf.keras.layers.Layer):
    """A share of the top network's first layer: sum_j sigmoid(q . x_j / sqrt(D) + b_j) x_j W, for each head's q.

    x_j is the vector of the history's item j and of its position, 0 at padding; q is made of all of a candidate;
    b starts as -log(position), so the weights start as 1 / (1 + position). What depends on one side alone is computed
    of that side alone, as in an `Interaction`.

    Args:
        items: what makes vectors of a history.
        candidate: the layout of an item's own vectors.
        hidden: H.
    """

    def __init__(
        self, items: ItemVectors, length: int, candidate: Layout, heads: int, hidden: int, dropout: float
    ) -> None:
        super().__init__(name="target_attention")
        self.items, self.candidate, self.dropout = items, candidate, Dropout(dropout)
        self.width, self.heads, self.hidden = int(items.table.dim), heads, hidden
        start = -tf.math.log(tf.range(1, length + 1, dtype=tf.float32))
        self.recency = self.add_weight("recency", (length,), initializer=lambda *a, **k: start)
        self.position = self.add_weight("position", (length, self.width), initializer="uniform")
        self.query = self.add_weight("query", (candidate.total, heads * self.width), initializer="glorot_uniform")
        self.kernel = self.add_weight("kernel", (heads * self.width, hidden), initializer="glorot_uniform")

    @property
    def part_widths(self) -> dict[str, int]:
        """What ``item_part`` gives: name -> width."""
        return {QUERY: self.heads * self.width}

    @property
    def numbers(self) -> int:
        """At most so many numbers does a training step compute here for each of its rows; for the memory estimate."""
        length = int(self.recency.shape[0])
        return length * self.width + self.heads * (2 * length + self.width)

    def user_part(self, columns: Mapping[str, Any], training: bool = False, many: bool = False) -> dict[str, Any]:
        """What depends on the user alone.

        Args:
            columns: ``history`` int [B, N], and what else ``items`` reads.
            many: there are more candidates than items in a history, so multiply these by W, not what a candidate makes
                of them.
        """
        there = tf.expand_dims(tf.cast(tf.minimum(columns[HISTORY], 1), tf.float32), axis=-1)
        vectors = self.dropout(self.items(columns) + self.position, training=training) * there
        if not many:
            return {ITEMS: vectors}
        of_heads = [tf.matmul(vectors, kernel) for kernel in tf.split(self.kernel, self.heads)]
        return {ITEMS: vectors, VALUES: tf.concat(of_heads, axis=1)}

    def item_part(self, items: Any) -> dict[str, Any]:
        """A candidate's own vectors [n, F, D] or [n, W] -> [n, R * D]."""
        flat = tf.reshape(items, [-1, self.candidate.total])
        return {QUERY: tf.matmul(flat, self.query) * self.width**-0.5}

    def pair(self, user: Mapping[str, Any], item: Mapping[str, Any], shape: tuple[Any, Any]) -> Any:
        """The rest, computed for every candidate: [B * K, H]; as `Interaction.pair`."""
        users, candidates = shape
        query = item[QUERY]
        if self.heads > 1:
            rows = -1 if isinstance(candidates, int) and candidates < 0 else candidates * self.heads
            query = tf.reshape(query, [users, rows, self.width])
        weights = tf.sigmoid(tf.matmul(query, user[ITEMS], transpose_b=True) + self.recency)
        if VALUES not in user:
            return tf.matmul(tf.reshape(tf.matmul(weights, user[ITEMS]), [-1, self.kernel.shape[0]]), self.kernel)
        if self.heads > 1:
            weights = tf.reshape(weights, [users, -1, user[VALUES].shape[1]])
        return tf.reshape(tf.matmul(weights, user[VALUES]), [-1, self.hidden])

    def at_once(self, user: Mapping[str, Any], items: Any, shape: tuple[Any, Any]) -> Any:
        """The share [B * K, H] from a user's part and a candidate's own vectors; ``shape`` is B and K."""
        rows = {
            name: tf.reshape(part, [*shape, self.part_widths[name]]) for name, part in self.item_part(items).items()
        }
        return self.pair(user, rows, shape)


def reads(config: RankerHistoryConfig) -> tuple[str, ...]:
    """The user's features that are read beside the history's items, and so not as lists of their own."""
    return (GAP,) if config.kind == "target_attention" else ()


def of_schema(
    schema: FeatureSchema,
    config: DlrmConfig,
    tables: Mapping[str, Any],
    candidate: Layout,
    catalogue: ItemTables | None,
) -> TargetAttention | None:
    """The layer that ``dlrm_ranker.history`` asks for; None for a history that is pooled alone.

    Raises:
        ConfigError: naming the key that does not fit the schema.
    """
    own = config.history
    if own.kind != "target_attention":
        return None
    named = item_features(schema, own.features, KEY)
    features = {f: by_code(schema[HISTORY].cardinality, f, catalogue, KEY) for f in named}
    gap = next((f for f in schema if f.name == GAP), None)
    history = schema[HISTORY]
    items = ItemVectors(tables[vocabulary(history)], features, tables, gap)
    return TargetAttention(items, history.dims[0], candidate, own.heads, config.top_mlp[0], config.dropout)
