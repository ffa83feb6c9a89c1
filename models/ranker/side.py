"""One side of the ranker, the user's or the item's: its features as vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.features import Feature
from .._merlin import mm, tf
from ..layers.feature_vectors import FeatureVectors, continuous
from ..layers.schema import vocabulary
from ..training.random_state import Dropout
from .target_encoding import PREFIX, Rates

LAST = "last_item"
"""Beside the pooled history, its first item meets every other vector: what comes next depends on it most."""


@dataclass(frozen=True)
class Layout:
    """The vectors of one side, in their order."""

    widths: tuple[int, ...]
    """Of each vector; at least one."""
    dense: bool
    """Whether the first is what the bottom network makes of the continuous features."""

    @property
    def count(self) -> int:
        return len(self.widths)

    @property
    def total(self) -> int:
        """Width of all side by side."""
        return sum(self.widths)


class SideVectors(tf.keras.layers.Layer):
    """Feature columns of one side [..., L] -> its vectors.

    Continuous features and rates together give one, through the bottom network; it comes first.

    Args:
        rates: what else there is in numbers.
        stacked: project each vector to the bottom network's width D and give [..., F, D]; else each keeps its own
            width and they lie side by side, [..., ``layout.total``]; see `beside`.
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
            name: tf.keras.layers.Dense(bottom[-1], use_bias=False, name=f"{name}_project")
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
        """With ``apart`` a list of the vectors, each [..., 1, D], for who would only take them apart again."""
        rows = self._rows(columns)
        if apart and not self.dropout.rate:
            return rows
        vectors = self.dropout(beside(rows, self.stacked), training=training)
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
        """All that the bottom network sees [..., C]."""
        dense, rates = continuous(self.features, columns), [layer(columns) for layer in self.rates]
        return tf.concat(rates if dense is None else [dense, *rates], axis=-1)

    def pick(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """What of ``columns`` belongs to this side."""
        rated = [layer.feature for layer in self.rates]
        names = [*(f.name for f in self.features), *rated, *(f"{PREFIX}{name}" for name in rated)]
        return {name: columns[name] for name in names if name in columns}


def beside(rows: Sequence[Any], stacked: bool) -> Any:
    """Vectors, each [..., 1, D], as one tensor: [..., F, D] where ``stacked``, else side by side [..., W]."""
    return tf.concat(rows, axis=-2) if stacked else tf.squeeze(tf.concat(rows, axis=-1), axis=-2)
