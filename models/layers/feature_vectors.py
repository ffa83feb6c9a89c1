"""Layers that both models are made of: one vector for each feature of a row.

Shapes: B rows, K candidates of a row, L length of a list, D width. Leading axes are free, so that one layer takes
user features [B, L] and the features of a row's candidates [B, K, L].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.features import Feature
from .._merlin import mm, tf
from ..training.random_state import Dropout
from .pretrained import Projection
from .schema import merlin_column, merlin_schema, vocabulary

INITIAL = 0.05
"""Embeddings start uniform in [-INITIAL, INITIAL], as Keras has it by default."""


class MaskedMean(tf.keras.layers.Layer):
    """Mean over a list without its padding.

    Args:
        vectors: float32 [..., L, D].
        codes: int [..., L], 0 is padding.

    Returns:
        float32 [..., 1, D]; 0 for an empty list.
    """

    def call(self, vectors: Any, codes: Any) -> Any:
        return weighted_mean(vectors, there(codes, vectors.dtype))


class RecencyMean(tf.keras.layers.Layer):
    """Weighted mean over a history, most recent first; the weight of each position is learned.

    It starts as 1 / position: on MovieLens 100k that ranks the next item twice as well as the plain mean.

    Args:
        last: give the first of the list, what the user had last, as a second vector: it is the mean whose weight lies
            on the first position, so both come from one matrix product.

    Returns:
        float32 [..., 1, D], with ``last`` [..., 2, D]; 0 for an empty history.
    """

    def __init__(self, last: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.last = last

    def build(self, shape: Any) -> None:
        start = -tf.math.log(tf.range(1, shape[-2] + 1, dtype=tf.float32))
        self.log_weight = self.add_weight("log_weight", shape=(shape[-2],), initializer=lambda *a, **k: start)

    def call(self, vectors: Any, codes: Any) -> Any:
        weights = tf.exp(self.log_weight)[None]
        if self.last:
            weights = tf.concat([weights, tf.one_hot([0], weights.shape[-1])], axis=0)
        return weighted_mean(vectors, there(codes, vectors.dtype) * weights)


def there(codes: Any, dtype: Any) -> Any:
    """Codes [..., L] -> [..., 1, L]: 0 at padding, else 1."""
    return tf.expand_dims(tf.cast(tf.minimum(codes, 1), dtype), axis=-2)


def weighted_mean(vectors: Any, weights: Any) -> Any:
    """[..., L, D] and [..., R, L] -> [..., R, D]; 0 where no weight is.

    Sums are matrix products: ONNX Runtime's ReduceSum gives a batch of 0 rows a wrong shape.
    """
    total = tf.matmul(weights, tf.ones([weights.shape[-1], 1]))
    return tf.matmul(weights, vectors) / tf.maximum(total, 1e-9)


class FeatureVectors(tf.keras.layers.Layer):
    """Feature columns [..., L] -> vectors [..., 1, D]: embeddings, lists pooled, and projections of pretrained vectors.

    Args:
        history: the list that gives two, see ``last`` of `RecencyMean`.
    """

    def __init__(
        self, features: Sequence[Feature], tables: Mapping[str, Any], history: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.features = tuple(f for f in features if f.kind != "continuous")
        self.tables = {vocabulary(f): tables[vocabulary(f)] for f in self.features}
        self.pools = {
            f.name: RecencyMean(f.name == history) if f.vocabulary else MaskedMean()
            for f in self.features
            if f.length and f.kind == "categorical"
        }

    def call(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        return {f.name: self._vectors(f, columns[f.name]) for f in self.features}

    def _vectors(self, feature: Feature, codes: Any) -> Any:
        if feature.kind == "vector":
            return self.tables[feature.name](codes)
        rows = embed(self.tables[vocabulary(feature)], codes)
        return self.pools[feature.name](rows, codes) if feature.length else rows


def embed(table: Any, codes: Any) -> Any:
    """Rows [..., L, D] of a Merlin table; its own call drops a last axis of length 1, which costs nodes in ONNX."""
    if not table.built:
        table(codes)
    return tf.gather(table.table.embeddings, codes)


class TowerInputs(tf.keras.layers.Layer):
    """Feature columns [B, L] -> [B, sum of widths]: the vectors of all features and the continuous ones, side by side.

    ``schema`` is what Merlin's Encoder asks an input block for.

    Args:
        history: a `History` that reads its columns in place of `FeatureVectors`.
        dropout: share of the numbers that a training step leaves out.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        tables: Mapping[str, Any],
        history: Any | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dropout = Dropout(dropout)
        self.schema = merlin_schema(features)
        self.history = history
        read = history.reads if history else ()
        self.features = tuple(f for f in features if f.name not in read[1:])
        self.vectors = FeatureVectors([f for f in features if f.name not in read], tables)

    def call(self, columns: Mapping[str, Any], training: bool = False) -> Any:
        found = self.vectors(columns)
        found |= {f.name: columns[f.name][:, None] for f in self.features if f.kind == "continuous"}
        if self.history is not None:
            found[self.history.reads[0]] = self.history(columns, training=training)
        rows = tf.squeeze(tf.concat([found[f.name] for f in self.features], axis=-1), axis=1)
        return self.dropout(rows, training=training)

    def compute_output_shape(self, shapes: Mapping[str, Any]) -> Any:
        """Merlin asks for it; Keras would find it by a call with codes of type float."""
        return tf.TensorShape([shapes[self.features[0].name][0], sum(map(self._width, self.features))])

    def _width(self, feature: Feature) -> int:
        if feature.kind == "continuous":
            return 1
        if self.history is not None and feature.name == self.history.reads[0]:
            return int(self.history.width)
        return int(self.vectors.tables[vocabulary(feature)].dim)


def embedding_tables(features: Sequence[Feature], dims: Mapping[str, int]) -> dict[str, Any]:
    """One Merlin embedding table for each vocabulary, and a projection for each vector feature.

    Args:
        dims: vocabulary -> width.
    """
    tables: dict[str, Any] = {}
    for feature in features:
        name = vocabulary(feature)
        if feature.kind == "vector":
            tables[name] = Projection(dims[name], name=f"{name}_projection")
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
