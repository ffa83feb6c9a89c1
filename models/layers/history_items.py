"""Each item of a user's history as a vector, from its id and other item features.

Shapes: B users, N items of a history, L length of a list, D width of an item's vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError
from ...core.features import (
    GAP,
    HISTORY,
    Feature,
    FeatureSchema,
)
from ...core.suggest import nearest
from .._merlin import tf
from .feature_vectors import MaskedMean, embed
from .schema import vocabulary

ItemTables = Mapping[str, NDArray[Any]]
"""Item features of an etl artifact by name, each [n_items, L]."""


class ItemVectors(tf.keras.layers.Layer):
    """Item codes [B, N] -> vectors [B, N, D]: the id's embedding plus a linear projection of the other features.

    Args:
        table: embedding table of the item ids.
        features: item feature -> its values for each item code [cardinality, L]; constants of the graph.
        tables: vocabulary -> embedding table, for these features and the time gap.
        gap: the feature with each item's time gap, if the schema has one.
    """

    def __init__(
        self, table: Any, features: Mapping[Feature, NDArray[Any]], tables: Mapping[str, Any], gap: Feature | None
    ) -> None:
        super().__init__()
        self.table, self.tables, self.gap = table, dict(tables), gap
        # Arrays: tensors created here would become inputs of the ONNX model.
        self.features = list(features.items())
        self.mean = MaskedMean()
        beside = self.features or gap is not None
        self.project = tf.keras.layers.Dense(table.dim, use_bias=False) if beside else None

    def call(self, columns: Mapping[str, Any]) -> Any:
        codes = columns[HISTORY]
        vectors = embed(self.table, codes)
        beside = [self._feature(feature, tf.gather(tf.constant(values), codes)) for feature, values in self.features]
        if self.gap is not None:
            beside.append(embed(self.tables[vocabulary(self.gap)], columns[GAP]))
        return vectors if self.project is None else vectors + self.project(tf.concat(beside, axis=-1))

    def _feature(self, feature: Feature, values: Any) -> Any:
        """A feature's values [B, N, L] -> [B, N, width]."""
        if feature.kind != "categorical":
            return values
        vectors = embed(self.tables[vocabulary(feature)], values)
        return tf.squeeze(self.mean(vectors, values) if feature.length else vectors, axis=-2)


def item_features(schema: FeatureSchema, names: Sequence[str], key: str) -> list[Feature]:
    """The item features with these names, the value of the config's ``key``; ``item_id`` is not among them.

    Raises:
        ConfigError: for a name that is not an item feature.
    """
    known = {f.name: f for f in schema.side("item") if f.name != "item_id"}
    for name in names:
        if name not in known:
            raise ConfigError(f"{key}: no item feature {name!r}; {nearest(name, known)}")
    return [known[name] for name in dict.fromkeys(names)]


def by_code(cardinality: int, feature: Feature, items: ItemTables | None, key: str) -> NDArray[Any]:
    """A feature's values for each item code [cardinality, L]; 0 (padding) for a code of no item or of several.

    Raises:
        ConfigError: if ``items`` is None.
    """
    if items is None:
        raise ConfigError(f"{key}: reads {feature.name}, so the model must be built with the items' tables")
    codes, values = np.asarray(items["item_id"])[:, 0], np.asarray(items[feature.name])
    unique = np.bincount(codes, minlength=cardinality)[codes] == 1
    found = np.zeros((cardinality, values.shape[1]), values.dtype)
    found[codes[unique]] = values[unique]
    return found
