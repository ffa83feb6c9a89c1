"""How often the label of logged impressions was 1 for each user, item or other category: numbers that the ranker reads.

Target encoding (Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes", 2001). With few
events an id, an embedding cannot learn what its mean says at once. A training row must not see its own label in its
id's mean, so that is taken over the events of the other folds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError
from ...core.features import Feature, FeatureSchema, Side
from ...core.target_encoding import columns_by_fold, draw_folds, mean_of_entries, out_of_fold, smoothed_mean
from ...workflows.transforms.codes import UNKNOWN_CODE
from .._merlin import tf
from ..config import RatesConfig
from ..layers.feature_vectors import padding_mask, weighted_mean

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from ...workflows.etl.tensors import Tensors
    from ..training.rows import Events

Floats = NDArray[np.float32]
PREFIX = "rates:"
"""Before the name of a feature: its numbers in a batch."""
CHUNK = 1 << 18
"""Events that are looked at together."""


class Rates(tf.keras.layers.Layer):
    """Codes [..., L] -> their numbers float32 [..., C]: C - 1 rates and the log of how many events they are from.

    All are 0 for codes without events, those of unknown and missing values among them. Of a list it is the mean.
    """

    def __init__(self, feature: Feature, labels: int) -> None:
        super().__init__(name=f"{feature.name}_rates")
        self.feature, self.length, self.width = feature.name, feature.length, labels + 1
        shape = (feature.cardinality, self.width)
        self.table = self.add_weight("table", shape, trainable=False, initializer="zeros")

    def call(self, columns: Mapping[str, Any]) -> Any:
        """The numbers of a training batch, where it has them, do not have its own labels in them, hidden ids none."""
        codes = columns[self.feature]
        given = columns.get(f"{PREFIX}{self.feature}")
        if given is None:
            numbers = tf.gather(self.table, codes)
            pooled = weighted_mean(numbers, padding_mask(codes, numbers.dtype)) if self.length else numbers
            return tf.squeeze(pooled, axis=-2)
        known = tf.reduce_any(codes > UNKNOWN_CODE, axis=-1, keepdims=True)
        return tf.where(known, given, tf.zeros_like(given))


@dataclass(frozen=True)
class Encoded:
    """A feature's numbers."""

    table: Floats
    """[cardinality, C], from all events."""
    rows: Floats
    """[n, C] for each event, from the events of the other folds."""


def encode(
    codes: Callable[[NDArray[np.int64]], NDArray[Any]], labels: Floats, cardinality: int, config: RatesConfig, seed: int
) -> Encoded:
    """The numbers of one feature.

    A rate is the log-odds of (sum + smoothing * mean) / (count + smoothing), less those of the mean. Each entry of a
    list is an event of its code.

    Args:
        codes: gives the codes int [m, L] of some of the n events, 0 is padding.
        labels: [n, T], 0 or 1, each of them present.
    """
    count, mean = len(labels), labels.mean(axis=0, dtype=np.float64)
    fold = draw_folds(count, config.folds, seed)
    happened = np.concatenate([labels, np.ones((count, 1))], axis=1)
    sums = np.zeros((config.folds * cardinality, happened.shape[1]))

    def chunks() -> Iterator[tuple[NDArray[np.int64], csr_matrix]]:
        """Some of the events [m], and how often each has a code of its fold: [m, folds * cardinality]."""
        for at in range(0, count, CHUNK):
            part = np.arange(at, min(at + CHUNK, count))
            yield part, columns_by_fold(_entries(codes(part), cardinality), fold[part], config.folds)

    for part, entries in chunks():
        sums += entries.T @ happened[part]
    by_fold = sums.reshape(config.folds, cardinality, -1)
    by_fold[:, : UNKNOWN_CODE + 1] = 0
    others = _numbers(out_of_fold(by_fold), mean, config).reshape(config.folds * cardinality, -1)
    rows = np.empty((count, others.shape[1]), np.float32)
    for part, entries in chunks():
        rows[part] = mean_of_entries(entries, others)
    return Encoded(_numbers(by_fold.sum(axis=0), mean, config), rows)


def _entries(codes: NDArray[Any], cardinality: int) -> csr_matrix:
    """How often each row of ``codes`` [m, L] holds each code: [m, cardinality], without padding."""
    from scipy.sparse import csr_matrix

    some = codes != 0
    ends = np.concatenate([[0], some.sum(axis=1).cumsum()])
    return csr_matrix((np.ones(ends[-1]), codes[some], ends), shape=(len(codes), cardinality))


def _numbers(sums: NDArray[np.float64], mean: NDArray[np.float64], config: RatesConfig) -> Floats:
    """Sums of the labels and counts [..., T + 1] -> numbers of that shape."""
    count = sums[..., -1:]
    share = smoothed_mean(sums[..., :-1], count, mean, config.smoothing)
    odds = np.log(share / (1 - share)) - np.log(mean / (1 - mean))
    return np.asarray(np.concatenate([np.where(count > 0, odds, 0.0), np.log1p(count)], axis=-1), np.float32)


def rated(schema: FeatureSchema, config: RatesConfig, side: Sequence[Side]) -> list[Feature]:
    """The features of a side whose rates the ranker reads.

    Raises:
        ConfigError: if one of ``rates.features`` holds no categories.
    """
    known = {f.name: f for f in schema if f.kind == "categorical"}
    for name in config.features:
        if name not in known:
            raise ConfigError(f"dlrm_ranker.rates.features: {name!r} holds no categories; there are {', '.join(known)}")
    return [known[name] for name in config.features if known[name].side in side]


def encode_rates(
    tensors: Tensors, events: Events, labels: Floats, config: RatesConfig, seed: int
) -> dict[str, Encoded]:
    """Feature -> its numbers for the training part's ``events`` with labels [n, T]."""

    def encoded(feature: Feature) -> Encoded:
        def codes(at: NDArray[np.int64]) -> NDArray[Any]:
            return _codes(tensors, events, feature, at)

        return encode(codes, labels, feature.cardinality, config, seed)

    return {f.name: encoded(f) for f in rated(tensors.schema, config, ("user", "context", "item"))}


def _codes(tensors: Tensors, events: Events, feature: Feature, at: NDArray[np.int64]) -> NDArray[Any]:
    """Of the events ``at`` [m]: [m, L]."""
    if feature.name in events.moment:
        return np.asarray(events.moment[feature.name].take(at, axis=0))
    if feature.side == "user":
        return np.asarray(tensors.users[feature.name][events.user_row[at]])
    return np.asarray(tensors.items[feature.name][events.item_row[at]])
