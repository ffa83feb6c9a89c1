"""Layers that turn each feature of a row into a vector; used by the retriever and the ranker.

Shapes: B rows, K candidates of a row, L length of a list, D width. The leading axes are arbitrary: a layer takes user
features [B, L] as well as the features of each row's candidates [B, K, L].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.features import Feature, ascii_name
from .._merlin import mm, tf
from ..training.random_state import Dropout
from .pretrained import Projection
from .schema import merlin_column, merlin_schema, vocabulary

INITIAL = 0.05
"""Embeddings are initialized uniformly in [-INITIAL, INITIAL], Keras's default."""


class MaskedMean(tf.keras.layers.Layer):
    """Mean over a list, padding excluded.

    Args:
        vectors: float32 [..., L, D].
        codes: int [..., L], 0 is padding.

    Returns:
        float32 [..., 1, D]; 0 for an empty list.
    """

    def call(self, vectors: Any, codes: Any) -> Any:
        return weighted_mean(vectors, padding_mask(codes, vectors.dtype))


class RecencyMean(tf.keras.layers.Layer):
    """Weighted mean over a history, most recent first, with a learned weight for each position.

    The weights start as 1 / position: on MovieLens 100k that ranks the next item twice as well as the plain mean.

    Args:
        last: also return the most recent item's vector. It is a mean with all weight on the first position, so both
            come from one matrix product.
        ordered: whether positions mean something. If not, it is the plain mean.

    Returns:
        float32 [..., 1, D]; [..., 2, D] with ``last``; 0 for an empty history.
    """

    def __init__(self, last: bool = False, ordered: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.last, self.ordered = last, ordered

    def build(self, shape: Any) -> None:
        start = -tf.math.log(tf.range(1, shape[-2] + 1, dtype=tf.float32)) * float(self.ordered)
        self.log_weight = self.add_weight(
            "log_weight", shape=(shape[-2],), initializer=lambda *a, **k: start, trainable=self.ordered
        )

    def call(self, vectors: Any, codes: Any) -> Any:
        weights = tf.exp(self.log_weight)[None]
        if self.last:
            weights = tf.concat([weights, tf.one_hot([0], weights.shape[-1])], axis=0)
        return weighted_mean(vectors, padding_mask(codes, vectors.dtype) * weights)


def padding_mask(codes: Any, dtype: Any) -> Any:
    """Codes [..., L] -> [..., 1, L]: 0 for padding, 1 for all other codes."""
    return tf.expand_dims(tf.cast(tf.minimum(codes, 1), dtype), axis=-2)


def weighted_mean(vectors: Any, weights: Any) -> Any:
    """R weighted means of L vectors: vectors [..., L, D] and weights [..., R, L] -> [..., R, D].

    A mean is 0 if all its weights are. Sums are computed as matrix products, because ONNX Runtime's ReduceSum returns a
    wrong shape for a batch of 0 rows.
    """
    total = tf.matmul(weights, tf.ones([weights.shape[-1], 1]))
    return tf.matmul(weights, vectors) / tf.maximum(total, 1e-9)


class FeatureVectors(tf.keras.layers.Layer):
    """Feature columns [..., L] -> one vector [..., 1, D] each: embeddings, pooled lists, projected pretrained vectors.

    Args:
        features: continuous ones are ignored.
        tables: vocabulary -> embedding table, or projection for a pretrained vector; see `embedding_tables`.
        history: the list that gives two vectors [..., 2, D], see ``last`` of `RecencyMean`.
    """

    def __init__(
        self, features: Sequence[Feature], tables: Mapping[str, Any], history: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.features = tuple(f for f in features if f.kind != "continuous")
        self.tables = {vocabulary(f): tables[vocabulary(f)] for f in self.features}
        self.pools = {
            f.name: RecencyMean(f.name == history, f.ordered) if f.vocabulary else MaskedMean()
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
    """Embeddings [..., L, D] of codes [..., L] from a Merlin table.

    Calling the table itself drops a last axis of length 1, and restoring that takes additional nodes in ONNX.
    """
    if not table.built:
        table(codes)
    return tf.gather(table.table.embeddings, codes)


class TowerInputs(tf.keras.layers.Layer):
    """The input layer of a tower: feature columns [B, L] -> all vectors and continuous features concatenated [B, W].

    Merlin's Encoder reads the attribute ``schema``.

    Args:
        history: a `History` layer that reads the history's columns instead of `FeatureVectors`.
        dropout: dropout rate of the result.
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
        """Merlin asks for the shape. Without this method Keras would call the layer with float codes to find it."""
        return tf.TensorShape([shapes[self.features[0].name][0], sum(map(self._width, self.features))])

    def _width(self, feature: Feature) -> int:
        if feature.kind == "continuous":
            return 1
        if self.history is not None and feature.name == self.history.reads[0]:
            return int(self.history.width)
        return int(self.vectors.tables[vocabulary(feature)].dim)


def embedding_tables(features: Sequence[Feature], dims: Mapping[str, int]) -> dict[str, Any]:
    """One Merlin embedding table per vocabulary, and one projection per pretrained vector.

    Args:
        dims: vocabulary -> width D.

    Returns:
        Vocabulary -> table or projection.
    """
    tables: dict[str, Any] = {}
    for feature in features:
        name = vocabulary(feature)
        if feature.kind == "vector":
            tables[name] = Projection(dims[name], name=f"{ascii_name(name)}_projection")
        if feature.kind == "categorical" and name not in tables:
            start = tf.keras.initializers.RandomUniform(-INITIAL, INITIAL)
            tables[name] = mm.EmbeddingTable(
                dims[name], merlin_column(feature), embeddings_initializer=start, name=f"{ascii_name(name)}_table"
            )
    return tables


def continuous(features: Sequence[Feature], columns: Mapping[str, Any]) -> Any | None:
    """The continuous columns concatenated [..., C], or None without any."""
    parts = [columns[f.name] for f in features if f.kind == "continuous"]
    return tf.concat(parts, axis=-1) if parts else None
