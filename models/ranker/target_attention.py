"""Target attention: each candidate weighs the items of the user's history.

Zhou et al., "Deep interest network for click-through rate prediction", 2018, equation 3: the user's representation for
a candidate v is sum_j a(e_j, v) e_j over the items e_j of the history. The weights a are not normalized, so that a
history with more items like the candidate gives a larger sum. Here a is the sigmoid of a scaled dot product (Vaswani et
al., "Attention is all you need", 2017). The first layer of the network that the paper has for each pair would cost more
than the rest of the ranker.

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
    """A term of the top network's first layer: the sum over heads and j of sigmoid(q . x_j / sqrt(D) + b_j) x_j W.

    x_j is the vector of the history's item j plus a vector of its position, 0 at padding. q is a linear map of all
    vectors of the candidate. b starts as -log(position), so that the weights start as 1 / (1 + position). As in an
    `Interaction`, what depends on one side only is computed once for that side.

    Args:
        items: gives the vectors of a history.
        length: N.
        candidate: layout of a candidate's vectors.
        heads: R.
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
        """Tables of ``item_part`` -> their widths."""
        return {QUERY: self.heads * self.width}

    @property
    def numbers(self) -> int:
        """An upper bound of the numbers that a training step computes here per row; for the memory estimate."""
        length = int(self.recency.shape[0])
        return length * self.width + self.heads * (2 * length + self.width)

    def user_part(self, columns: Mapping[str, Any], training: bool = False, many: bool = False) -> dict[str, Any]:
        """What depends only on the user: the vectors x [B, N, D], and with ``many`` their products with W.

        Args:
            columns: ``history`` int [B, N], and the other columns that ``items`` reads.
            many: multiply x by W here rather than each candidate's weighted sum. That is cheaper if there are more
                candidates than items in a history.
        """
        there = tf.expand_dims(tf.cast(tf.minimum(columns[HISTORY], 1), tf.float32), axis=-1)
        vectors = self.dropout(self.items(columns) + self.position, training=training) * there
        if not many:
            return {ITEMS: vectors}
        of_heads = [tf.matmul(vectors, kernel) for kernel in tf.split(self.kernel, self.heads)]
        return {ITEMS: vectors, VALUES: tf.concat(of_heads, axis=1)}

    def item_part(self, items: Any) -> dict[str, Any]:
        """The queries q of all heads [n, R * D], from the vectors of candidates [n, F, D] or [n, W]."""
        flat = tf.reshape(items, [-1, self.candidate.total])
        return {QUERY: tf.matmul(flat, self.query) * self.width**-0.5}

    def pair(self, user: Mapping[str, Any], item: Mapping[str, Any], shape: tuple[Any, Any]) -> Any:
        """The term [B * K, H], from the user part and the item part of each candidate; see `Interaction.pair`."""
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
        """The term [B * K, H], from the user part and the vectors of the candidates; ``shape`` is B and K."""
        rows = {
            name: tf.reshape(part, [*shape, self.part_widths[name]]) for name, part in self.item_part(items).items()
        }
        return self.pair(user, rows, shape)


def attended_features(config: RankerHistoryConfig) -> tuple[str, ...]:
    """User features that the attention reads together with the history's items, and not as features on their own."""
    return (GAP,) if config.kind == "target_attention" else ()


def attention_layer(
    schema: FeatureSchema,
    config: DlrmConfig,
    tables: Mapping[str, Any],
    candidate: Layout,
    catalogue: ItemTables | None,
) -> TargetAttention | None:
    """The attention that ``dlrm_ranker.history`` configures; None if the history is only pooled.

    Args:
        tables: embedding tables by vocabulary.
        candidate: layout of a candidate's vectors.
        catalogue: the etl's item features [n_items, L]; needed if ``history.features`` names any.

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
