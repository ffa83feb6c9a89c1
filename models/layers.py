"""Layers that both models are made of: one vector for each feature of a row.

Shapes: B rows, K candidates of a row, L length of a list, D width. Leading axes are free, so that one layer takes
user features [B, L] and the features of a row's candidates [B, K, L].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.features import Feature
from .backend import mm, tf
from .schema import merlin_column, merlin_schema, vocabulary

INITIAL = 0.05
"""Embeddings start uniform in [-INITIAL, INITIAL], as Keras has it by default."""


class MaskedMean(tf.keras.layers.Layer):
    """Mean over a list without its padding.

    Args:
        vectors: float32 [..., L, D].
        codes: int [..., L], 0 is padding.

    Returns:
        float32 [..., D]; 0 for an empty list.
    """

    def call(self, vectors: Any, codes: Any) -> Any:
        return weighted_mean(vectors, tf.cast(codes > 0, vectors.dtype))


class RecencyMean(tf.keras.layers.Layer):
    """Weighted mean over a history, most recent first; the weight of each position is learned.

    It starts as 1 / position: on MovieLens 100k that ranks the next item twice as well as the plain mean.
    """

    def build(self, shape: Any) -> None:
        start = -tf.math.log(tf.range(1, shape[-2] + 1, dtype=tf.float32))
        self.log_weight = self.add_weight("log_weight", shape=(shape[-2],), initializer=lambda *a, **k: start)

    def call(self, vectors: Any, codes: Any) -> Any:
        return weighted_mean(vectors, tf.cast(codes > 0, vectors.dtype) * tf.exp(self.log_weight))


def weighted_mean(vectors: Any, weights: Any) -> Any:
    """[..., L, D] and [..., L] -> [..., D]; 0 where no weight is.

    Sums are matrix products: ONNX Runtime's ReduceSum gives a batch of 0 rows a wrong shape.
    """
    total = tf.matmul(weights, tf.ones([weights.shape[-1], 1]))
    weighted = tf.squeeze(tf.matmul(tf.expand_dims(weights, axis=-2), vectors), axis=-2)
    return weighted / tf.maximum(total, 1e-9)


class FeatureVectors(tf.keras.layers.Layer):
    """Feature columns [..., L] -> one vector [..., D] for each categorical feature: its embedding, lists pooled."""

    def __init__(self, features: Sequence[Feature], tables: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.features = tuple(f for f in features if f.kind == "categorical")
        self.tables = {vocabulary(f): tables[vocabulary(f)] for f in self.features}
        self.pools = {f.name: RecencyMean() if f.vocabulary else MaskedMean() for f in self.features if f.length}

    def call(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        return {f.name: self._vector(f, columns[f.name]) for f in self.features}

    def _vector(self, feature: Feature, codes: Any) -> Any:
        rows = self.tables[vocabulary(feature)](codes)
        if feature.length is None:
            return rows
        if feature.length == 1:  # Merlin's table drops a last axis of length 1
            rows = tf.expand_dims(rows, axis=-2)
        return self.pools[feature.name](rows, codes)


class TowerInputs(tf.keras.layers.Layer):
    """Feature columns [B, L] -> [B, sum of widths]: the vectors of all features and the continuous ones, side by side.

    ``schema`` is what Merlin's Encoder asks an input block for.
    """

    def __init__(self, features: Sequence[Feature], tables: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.features = tuple(features)
        self.schema = merlin_schema(features)
        self.vectors = FeatureVectors(features, tables)

    def call(self, columns: Mapping[str, Any]) -> Any:
        vectors = self.vectors(columns)
        parts = [vectors[f.name] if f.kind == "categorical" else columns[f.name] for f in self.features]
        return tf.concat(parts, axis=-1)


def embedding_tables(features: Sequence[Feature], dims: Mapping[str, int]) -> dict[str, Any]:
    """One Merlin embedding table for each vocabulary.

    Args:
        dims: vocabulary -> width.
    """
    tables: dict[str, Any] = {}
    for feature in features:
        name = vocabulary(feature)
        if feature.kind == "categorical" and name not in tables:
            start = tf.keras.initializers.RandomUniform(-INITIAL, INITIAL)
            tables[name] = mm.EmbeddingTable(
                dims[name], merlin_column(feature), embeddings_initializer=start, name=f"{name}_table"
            )
    return tables


def continuous(features: Sequence[Feature], columns: Mapping[str, Any]) -> Any | None:
    """The continuous columns side by side [..., C], or None if there are none."""
    parts = [columns[f.name] for f in features if f.kind == "continuous"]
    return tf.concat(parts, axis=-1) if parts else None
