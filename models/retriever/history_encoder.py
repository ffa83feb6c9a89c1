"""The user tower's history encoder: a vector for each item, pooled into one vector.

A history is most recent first. The encoder at position p sees items p, p + 1, ...: the history as it was before items
0 .. p - 1 came. At serving time the model reads the whole history (position 0). Window training predicts at several
positions of the same encoded history, see ``windows``.

Shapes: B histories, N items and positions, R rows, D width of an item's vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.errors import ConfigError
from ...core.features import GAP, HISTORY, FeatureSchema
from .._merlin import tf
from ..config import HistoryTowerConfig, targets
from ..layers.history_items import (
    ItemTables,
    ItemVectors,
    by_code,
    item_features,
)
from ..layers.schema import vocabulary
from ..training.gradient_checkpointing import in_slices
from ..training.rows import PLACE, WINDOW
from .history_pooling import AttentionPool, MeanPool, RecencyPool
from .transformer import TransformerPool

KEY = "two_tower.user_tower.history"
POOLS: Mapping[str, Any] = {
    "recency": RecencyPool,
    "mean": MeanPool,
    "attention": AttentionPool,
    "transformer": TransformerPool,
}


class History(tf.keras.layers.Layer):
    """Columns ``history`` int [B, N], and ``history_gap`` where the model reads it -> float32 [B, 1, width].

    That is position 0. With ``WINDOW`` and ``PLACE`` int [R] among the columns it is float32 [R, 1, width]: of each row
    the history ``WINDOW`` at position ``PLACE``. An empty history gives 0, and so does position N.

    Args:
        items: the vectors of the history's items.
        pool: an instance of one of `POOLS`.
        length: N.
        reads: names of the columns, ``history`` first.
        recompute: training computes the encoder again in the backward pass, see ``gradient_checkpointing``.
    """

    def __init__(
        self, items: ItemVectors, pool: Any, length: int, reads: Sequence[str], recompute: bool = False
    ) -> None:
        super().__init__()
        self.items, self.pool, self.length, self.recompute = items, pool, length, recompute
        self.reads = tuple(reads)
        self.width = pool.times * int(items.table.dim)
        self.windows_per_row = 1.0
        """Histories that a training step encodes per row of the batch; for the memory estimate."""

    def call(self, columns: Mapping[str, Any], training: bool = False) -> Any:
        positions = self.length if PLACE in columns else 1

        def read(own: Mapping[str, Any]) -> Any:
            vectors = self.items(own)
            seen = tf.cast(tf.minimum(own[HISTORY], 1), vectors.dtype)
            return self.pool(vectors, seen, positions=positions, training=training)

        own = {name: columns[name] for name in self.reads}
        states = in_slices(read, own) if training and self.recompute else read(own)
        if PLACE not in columns:
            return states
        states = tf.pad(states, [[0, 0], [0, 1], [0, 0]])
        return tf.gather_nd(states, tf.stack([columns[WINDOW], columns[PLACE]], axis=1))[:, None]

    @property
    def numbers(self) -> float:
        """About how many numbers a training step computes here per row."""
        width = int(self.items.table.dim)
        return float(self.windows_per_row * self.length * (width + self.pool.numbers(self.length, width)))

    @property
    def kept(self) -> float:
        """About how many of them are in memory at once with recomputation: the output and the items' gradients."""
        return float(self.windows_per_row * self.length * (self.width + int(self.items.table.dim)))


def history_layer(
    schema: FeatureSchema,
    config: HistoryTowerConfig,
    tables: Mapping[str, Any],
    items: ItemTables | None,
    recompute: bool = False,
) -> History | None:
    """The history encoder that the config asks for; None for a recency mean of ids, which `FeatureVectors` computes.

    Args:
        tables: vocabulary -> embedding table, of user and item features.
        items: the etl's item features [n_items, L]; needed if ``features`` names any.
        recompute: see `History`.

    Raises:
        ConfigError: naming the key that does not fit the schema.
    """
    names = {f.name for f in schema}
    gap = schema[GAP] if GAP in names else None
    plain = config.kind == "recency" and not config.features and gap is None and targets(config) == 1
    if HISTORY not in names or plain:
        return None
    history = schema[HISTORY]
    length = history.dims[0]
    if (config.targets or 1) > length:
        raise ConfigError(f"{KEY}.targets: is {config.targets}, must be at most history.length, which is {length}")
    key = f"{KEY}.features"
    features = {f: by_code(history.cardinality, f, items, key) for f in item_features(schema, config.features, key)}
    vectors = ItemVectors(tables[vocabulary(history)], features, tables, gap)
    reads = [HISTORY] if gap is None else [HISTORY, GAP]
    return History(vectors, POOLS[config.kind](config, history.ordered), length, reads, recompute)
