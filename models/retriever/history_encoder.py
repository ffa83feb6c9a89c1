"""The user tower's reading of a history: a vector for each of its items, and what all of them come to.

A history is most recent first, so its place p is the moment at which items p, p + 1, ... had been seen and items before
p had not. A request stands at place 0. Training may stand at several places of one history: see ``windows``.

Shapes: B histories, N places, R rows, D width of an item's vector.
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
    """Columns ``history`` int [B, N], and ``history_gap`` if it is read -> float32 [B, 1, width] at place 0.

    With ``window`` and ``place`` int [R] among the columns: float32 [R, 1, width], of history ``window`` at ``place``.
    Where nothing has been seen, and at place N, it is 0.

    Args:
        reads: names of the columns, ``history`` first.
        pool: one of ``pools``.
        recompute: training keeps nothing of the reading, see ``recompute``.
    """

    def __init__(
        self, items: ItemVectors, pool: Any, length: int, reads: Sequence[str], recompute: bool = False
    ) -> None:
        super().__init__()
        self.items, self.pool, self.length, self.recompute = items, pool, length, recompute
        self.reads = tuple(reads)
        self.width = pool.times * int(items.table.dim)
        self.windows_per_row = 1.0
        """How many histories a training step reads for each of its rows; for the memory estimate."""

    def call(self, columns: Mapping[str, Any], training: bool = False) -> Any:
        places = self.length if PLACE in columns else 1

        def read(own: Mapping[str, Any]) -> Any:
            vectors = self.items(own)
            seen = tf.cast(tf.minimum(own[HISTORY], 1), vectors.dtype)
            return self.pool(vectors, seen, places=places, training=training)

        own = {name: columns[name] for name in self.reads}
        states = in_slices(read, own) if training and self.recompute else read(own)
        if PLACE not in columns:
            return states
        states = tf.pad(states, [[0, 0], [0, 1], [0, 0]])
        return tf.gather_nd(states, tf.stack([columns[WINDOW], columns[PLACE]], axis=1))[:, None]

    @property
    def numbers(self) -> float:
        """About how many numbers a training step computes here for each of its rows."""
        width = int(self.items.table.dim)
        return float(self.windows_per_row * self.length * (width + self.pool.numbers(self.length, width)))

    @property
    def kept(self) -> float:
        """About how many of them are there at once where they are recomputed: what it gives, and gradients of items."""
        return float(self.windows_per_row * self.length * (self.width + int(self.items.table.dim)))


def history_layer(
    schema: FeatureSchema,
    config: HistoryTowerConfig,
    tables: Mapping[str, Any],
    items: ItemTables | None,
    recompute: bool = False,
) -> History | None:
    """What reads the history, or None where a recency mean of the ids is all: `FeatureVectors` has that.

    Args:
        tables: embedding tables by vocabulary, of users and items.
        items: the etl's item features [n_items, L]; needed where the history reads some.
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
        raise ConfigError(f"{KEY}.targets: is {config.targets}, history.length is {length}: must not be more")
    key = f"{KEY}.features"
    features = {f: by_code(history.cardinality, f, items, key) for f in item_features(schema, config.features, key)}
    vectors = ItemVectors(tables[vocabulary(history)], features, tables, gap)
    reads = [HISTORY] if gap is None else [HISTORY, GAP]
    return History(vectors, POOLS[config.kind](config), length, reads, recompute)
