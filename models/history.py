"""The user tower's reading of a history: a vector for each of its items, and what all of them come to.

A history is most recent first, so its place p is the moment at which items p, p + 1, ... had been seen and items before
p had not. A request stands at place 0. Training may stand at several places of one history: see ``windows``.

Shapes: B histories, N places, R rows, D width of an item's vector.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ConfigError
from ..core.features import Feature, FeatureSchema
from .backend import tf
from .config import HistoryTowerConfig, targets
from .layers import MaskedMean, embed
from .pools import AttentionPool, MeanPool, RecencyPool
from .schema import vocabulary
from .transformer import TransformerPool

HISTORY, GAP = "history", "history_gap"
WINDOW, PLACE = "window", "place"
KEY = "two_tower.user_tower.history"
POOLS: Mapping[str, Any] = {
    "recency": RecencyPool,
    "mean": MeanPool,
    "attention": AttentionPool,
    "transformer": TransformerPool,
}
ItemTables = Mapping[str, NDArray[Any]]


class ItemVectors(tf.keras.layers.Layer):
    """Item codes [B, N] -> vectors [B, N, D]: the embedding of the id, and what is known beside it projected onto it.

    Args:
        table: embedding table of the ids.
        features: item features -> [cardinality, L], their values for each item code.
        tables: embedding tables of these features and of the time gap.
        gap: the feature that holds a time gap for each item, if there is one.
    """

    def __init__(
        self, table: Any, features: Mapping[Feature, NDArray[Any]], tables: Mapping[str, Any], gap: Feature | None
    ) -> None:
        super().__init__()
        self.table, self.tables = table, dict(tables)
        self.features = list(features.items())  # arrays: a tensor from outside would become an input of the ONNX model
        self.gap = gap
        self.mean = MaskedMean()
        beside = bool(features) or gap is not None
        self.project = tf.keras.layers.Dense(table.dim, use_bias=False) if beside else None

    def call(self, columns: Mapping[str, Any]) -> Any:
        codes = columns[HISTORY]
        vectors = embed(self.table, codes)
        beside = [self._feature(f, tf.gather(tf.constant(values), codes)) for f, values in self.features]
        if self.gap is not None:
            beside.append(embed(self.tables[self.gap.name], columns[GAP]))
        return vectors if self.project is None else vectors + self.project(tf.concat(beside, axis=-1))

    def _feature(self, feature: Feature, values: Any) -> Any:
        """[B, N, L] -> [B, N, width]."""
        if feature.kind == "continuous":
            return values
        vectors = embed(self.tables[vocabulary(feature)], values)
        return tf.squeeze(self.mean(vectors, values) if feature.length else vectors, axis=-2)


class History(tf.keras.layers.Layer):
    """Columns ``history`` int [B, N], and ``history_gap`` if it is read -> float32 [B, 1, width] at place 0.

    With ``window`` and ``place`` int [R] among the columns: float32 [R, 1, width], of history ``window`` at ``place``.
    Where nothing has been seen, and at place N, it is 0.

    Args:
        reads: names of the columns, ``history`` first.
        pool: one of ``pools``.
    """

    def __init__(self, items: ItemVectors, pool: Any, length: int, reads: Sequence[str]) -> None:
        super().__init__()
        self.items, self.pool, self.length = items, pool, length
        self.reads = tuple(reads)
        self.width = pool.times * int(items.table.dim)
        self.windows_per_row = 1.0
        """How many histories a training step reads for each of its rows; for the memory estimate."""

    def call(self, columns: Mapping[str, Any], training: bool = False) -> Any:
        vectors = self.items(columns)
        seen = tf.cast(tf.minimum(columns[HISTORY], 1), vectors.dtype)
        if PLACE not in columns:
            return self.pool(vectors, seen, places=1, training=training)
        states = self.pool(vectors, seen, places=self.length, training=training)
        states = tf.pad(states, [[0, 0], [0, 1], [0, 0]])
        return tf.gather_nd(states, tf.stack([columns[WINDOW], columns[PLACE]], axis=1))[:, None]

    @property
    def numbers(self) -> float:
        """About how many numbers a training step computes here for each of its rows."""
        width = int(self.items.table.dim)
        return float(self.windows_per_row * self.length * (width + self.pool.numbers(self.length, width)))


def history_layer(
    schema: FeatureSchema, config: HistoryTowerConfig, tables: Mapping[str, Any], items: ItemTables | None
) -> History | None:
    """What reads the history, or None where a recency mean of the ids is all: `FeatureVectors` has that.

    Args:
        tables: embedding tables by vocabulary, of users and items.
        items: the etl's item features [n_items, L]; needed where the history reads some.

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
    features = {f: by_code(history.cardinality, f, items) for f in item_features(schema, config.features)}
    vectors = ItemVectors(tables[vocabulary(history)], features, tables, gap)
    return History(vectors, POOLS[config.kind](config), length, [HISTORY] if gap is None else [HISTORY, GAP])


def item_features(schema: FeatureSchema, names: Sequence[str]) -> list[Feature]:
    """The item features of these names; the id is there anyway.

    Raises:
        ConfigError: for a name that is none of them.
    """
    known = {f.name: f for f in schema.side("item") if f.name != "item_id"}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"
            raise ConfigError(f"{KEY}.features: no item feature {name!r}; {hint}")
    return [known[name] for name in dict.fromkeys(names)]


def by_code(cardinality: int, feature: Feature, items: ItemTables | None) -> NDArray[Any]:
    """[cardinality, L]: a feature for each item code; 0, padding, for codes that none or several items have."""
    if items is None:
        raise ConfigError(f"{KEY}.features: reads {feature.name}, so the towers are built from the items' tables, too")
    codes, values = np.asarray(items["item_id"])[:, 0], np.asarray(items[feature.name])
    alone = np.bincount(codes, minlength=cardinality)[codes] == 1
    found = np.zeros((cardinality, values.shape[1]), values.dtype)
    found[codes[alone]] = values[alone]
    return found
