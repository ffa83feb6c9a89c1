"""The features of one side of the ranker (users or items) as vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.features import Feature, ascii_name
from .._merlin import mm, tf
from ..layers.feature_vectors import FeatureVectors, continuous
from ..layers.schema import vocabulary
from ..training.random_state import Dropout
from .target_encoding import PREFIX, Rates

LAST = "last_item"
"""The most recent item of the history, a vector in addition to the pooled history: it says most about the next item."""


@dataclass(frozen=True)
class Layout:
    """Number and widths of the vectors of one side, in their order."""

    widths: tuple[int, ...]
    """Width of each vector; there is at least one."""
    dense: bool
    """Whether the first vector is the bottom network's output, computed from continuous features and rates."""

    @property
    def count(self) -> int:
        return len(self.widths)

    @property
    def total(self) -> int:
        """The sum of the widths."""
        return sum(self.widths)


class SideVectors(tf.keras.layers.Layer):
    """Feature columns [..., L] of one side -> its vectors.

    The first vector is the bottom network's output, computed from all continuous features and target encodings.

    Args:
        tables: embedding tables by vocabulary.
        bottom: layer widths of the bottom network; the last is D.
        rates: target encodings, further inputs of the bottom network.
        stacked: whether all vectors are projected to width D and stacked, [..., F, D]. Otherwise each keeps its width
            and they are concatenated, [..., ``layout.total``]; see `concat_vectors`.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        tables: Mapping[str, Any],
        bottom: Sequence[int],
        dropout: float,
        stacked: bool,
        name: str,
        rates: Sequence[Rates] = (),
    ) -> None:
        super().__init__(name=name)
        self.features = tuple(features)
        self.stacked = stacked
        self.history = next((f.name for f in features if f.vocabulary and f.dims[0] > 1), None)
        self.vectors = FeatureVectors(features, tables, self.history)
        widths = {f.name: tables[vocabulary(f)].dim for f in self.vectors.features}
        if self.history is not None:
            widths[LAST] = widths[self.history]
        self.order = tuple(widths)
        self.project = {
            name: tf.keras.layers.Dense(bottom[-1], use_bias=False, name=f"{ascii_name(name)}_project")
            for name, width in widths.items()
            if stacked and width != bottom[-1]
        }
        self.rates = list(rates)
        dense = bool(rates) or any(f.kind == "continuous" for f in features)
        self.bottom = mm.MLPBlock(list(bottom)) if dense else None
        self.dropout = Dropout(dropout)
        own = [bottom[-1] if stacked else width for width in widths.values()]
        self.layout = Layout((bottom[-1], *own) if dense else tuple(own), dense)

    def call(self, columns: Mapping[str, Any], training: bool = False, apart: bool = False) -> Any:
        """The vectors in one tensor; with ``apart`` a list of vectors [..., 1, D], for callers that would split it."""
        rows = self._rows(columns)
        if apart and not self.dropout.rate:
            return rows
        vectors = self.dropout(concat_vectors(rows, self.stacked), training=training)
        if not apart:
            return vectors
        if self.stacked:
            return tf.split(vectors, self.layout.count, axis=-2)
        return tf.split(tf.expand_dims(vectors, axis=-2), self.layout.widths, axis=-1)

    def _rows(self, columns: Mapping[str, Any]) -> list[Any]:
        found = self.vectors(columns)
        if self.history is not None:
            found[self.history], found[LAST] = tf.split(found[self.history], 2, axis=-2)
        for name, project in self.project.items():
            found[name] = tf.expand_dims(project(tf.squeeze(found[name], axis=-2)), axis=-2)
        rows = [found[name] for name in self.order]
        if self.bottom is not None:
            rows = [tf.expand_dims(self.bottom(self._numbers(columns)), axis=-2), *rows]
        return rows

    def _numbers(self, columns: Mapping[str, Any]) -> Any:
        """The inputs [..., C] of the bottom network."""
        dense, rates = continuous(self.features, columns), [layer(columns) for layer in self.rates]
        return tf.concat(rates if dense is None else [dense, *rates], axis=-1)

    def pick(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of this side among ``columns``."""
        rated = [layer.feature for layer in self.rates]
        names = [*(f.name for f in self.features), *rated, *(f"{PREFIX}{name}" for name in rated)]
        return {name: columns[name] for name in names if name in columns}


def concat_vectors(rows: Sequence[Any], stacked: bool) -> Any:
    """Vectors [..., 1, D] as one tensor: [..., F, D] if ``stacked``, else concatenated, [..., W]."""
    return tf.concat(rows, axis=-2) if stacked else tf.squeeze(tf.concat(rows, axis=-1), axis=-2)
