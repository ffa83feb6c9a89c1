"""Target encoding of the ranker's categories: the share of positive labels of each user, item or other category.

With few impressions per id, an embedding cannot learn what the mean label says at once. Training rows use out-of-fold
rates; the formulas are in `workflows.tables.target_encoding`. The config key is ``dlrm_ranker.rates``. For a list
column the feature is the mean rate of its entries.

The entries of the history have the rates of the items themselves, and the number of entries beside them. Rates of "the
history holds this item" would mostly tell users apart: of an item that few have in theirs, it is the rate of these
users, which says nothing of a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError
from ...core.features import Feature, FeatureSchema, Side, ascii_name
from ...workflows.tables.target_encoding import (
    columns_by_fold,
    draw_folds,
    mean_of_entries,
    out_of_fold,
    smoothed_mean,
)
from ...workflows.transforms.codes import UNKNOWN_CODE
from .._merlin import tf
from ..config import RatesConfig
from ..layers.feature_vectors import padding_mask, weighted_mean

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from ...workflows.etl.tensors import Tensors
    from ..training.rows import Events

Floats = NDArray[np.float32]
Codes = Callable[[NDArray[np.int64]], NDArray[Any]]
PREFIX = "rates:"
"""Prefix of the batch columns that hold the out-of-fold encodings of a feature."""
CHUNK, LISTS = 1 << 18, 1 << 15
"""Events encoded at once, and lists of items whose rates are gathered at once."""


class Rates(tf.keras.layers.Layer):
    """The encoding float32 [..., C] of codes [..., L]: a rate for each of C - 1 labels, and log(1 + number of events).

    It is 0 for codes without events, and for unknown and missing values. A list has the mean of its entries. The last
    number of a history is log(1 + number of entries); table and out-of-fold encodings are of the C - 1 rates.
    """

    def __init__(self, feature: Feature, labels: int) -> None:
        super().__init__(name=f"{ascii_name(feature.name)}_rates")
        self.feature, self.length, self.of_items = feature.name, feature.length, feature.vocabulary is not None
        shape = (feature.cardinality, labels + (not self.of_items))
        self.table = self.add_weight("table", shape, trainable=False, initializer="zeros")

    def call(self, columns: Mapping[str, Any]) -> Any:
        """The out-of-fold encodings of a training batch if ``columns`` holds them, else those of the table.

        Ids that are hidden by id dropout have the encoding 0.
        """
        codes = columns[self.feature]
        found = self._rates(codes, columns.get(f"{PREFIX}{self.feature}"))
        if not self.of_items:
            return found
        entries = tf.matmul(padding_mask(codes, found.dtype), tf.ones([codes.shape[-1], 1]))
        return tf.concat([found, tf.math.log(1 + tf.squeeze(entries, axis=-1))], axis=-1)

    def _rates(self, codes: Any, given: Any | None) -> Any:
        if given is None:
            numbers = tf.gather(self.table, codes)
            pooled = weighted_mean(numbers, padding_mask(codes, numbers.dtype)) if self.length else numbers
            return tf.squeeze(pooled, axis=-2)
        known = tf.reduce_any(codes > UNKNOWN_CODE, axis=-1, keepdims=True)
        return tf.where(known, given, tf.zeros_like(given))


@dataclass(frozen=True)
class Encoded:
    """The encoding of one feature: C numbers, which are the rates and the log of the number of events."""

    table: Floats
    """[cardinality, C], from all events, for serving."""
    rows: Floats
    """[n, C], the out-of-fold encoding of each event, for training."""
    others: Floats
    """[folds, cardinality, C], from the events outside each fold."""

    def of_fold(self, fold: NDArray[np.integer[Any]], codes: NDArray[np.integer[Any]]) -> Floats:
        """The encodings float32 [n, ..., C] of codes [n, ..., L] by the events outside the folds [n]."""
        some = (codes != 0)[..., None]
        numbers = self.others[fold.reshape(-1, *[1] * (codes.ndim - 1)), codes]
        return np.asarray((numbers * some).sum(axis=-2) / np.maximum(1, some.sum(axis=-2)), np.float32)

    def of_entries(self, fold: NDArray[np.integer[Any]], codes: Codes) -> Encoded:
        """The rates of lists of this feature's codes, without the number of events: C - 1 numbers.

        Args:
            fold: int [n], the fold of each event.
            codes: gives the codes int [m, L] of the events with numbers [m].
        """
        rows = np.empty((len(fold), self.table.shape[1] - 1), np.float32)
        rates = Encoded(self.table[:, :-1], rows, self.others[..., :-1])
        for at in range(0, len(fold), LISTS):
            part = np.arange(at, min(at + LISTS, len(fold)))
            rates.rows[part] = rates.of_fold(fold[part], codes(part))
        return rates


def encode(codes: Codes, labels: Floats, cardinality: int, config: RatesConfig, seed: int) -> Encoded:
    """Encode one feature.

    A rate is the log-odds of the smoothed mean (sum + smoothing * mean) / (count + smoothing), minus the log-odds of
    the overall mean. Each entry of a list counts as an event of its code.

    Args:
        codes: gives the codes int [m, L] of the events with numbers [m]; 0 is padding.
        labels: float32 [n, T], each with both 0 and 1.
        cardinality: number of codes.
        seed: of the folds.
    """
    count, mean = len(labels), labels.mean(axis=0, dtype=np.float64)
    fold = draw_folds(count, config.folds, seed)
    sums = np.zeros((config.folds * cardinality, labels.shape[1] + 1))

    def chunks() -> Iterator[tuple[NDArray[np.int64], csr_matrix]]:
        """Numbers of events [m], and how often each has a code in its fold, [m, folds * cardinality]."""
        for at in range(0, count, CHUNK):
            part = np.arange(at, min(at + CHUNK, count))
            yield part, columns_by_fold(_entries(codes(part), cardinality), fold[part], config.folds)

    for part, entries in chunks():
        sums += entries.T @ np.concatenate([labels[part], np.ones((len(part), 1))], axis=1)
    by_fold = sums.reshape(config.folds, cardinality, -1)
    by_fold[:, : UNKNOWN_CODE + 1] = 0
    others = _numbers(out_of_fold(by_fold), mean, config).reshape(config.folds * cardinality, -1)
    rows = np.empty((count, others.shape[1]), np.float32)
    for part, entries in chunks():
        rows[part] = mean_of_entries(entries, others)
    everywhere = _numbers(by_fold.sum(axis=0), mean, config)
    return Encoded(everywhere, rows, others.reshape(config.folds, cardinality, -1))


def _entries(codes: NDArray[Any], cardinality: int) -> csr_matrix:
    """How often each row of ``codes`` [m, L] holds each code: [m, cardinality], without padding."""
    from scipy.sparse import csr_matrix

    some = codes != 0
    ends = np.concatenate([[0], some.sum(axis=1).cumsum()])
    return csr_matrix((np.ones(ends[-1]), codes[some], ends), shape=(len(codes), cardinality))


def _numbers(sums: NDArray[np.float64], mean: NDArray[np.float64], config: RatesConfig) -> Floats:
    """The encoding [..., T + 1] from sums of labels and counts [..., T + 1]."""
    count = sums[..., -1:]
    share = smoothed_mean(sums[..., :-1], count, mean, config.smoothing)
    odds = np.log(share / (1 - share)) - np.log(mean / (1 - mean))
    return np.asarray(np.concatenate([np.where(count > 0, odds, 0.0), np.log1p(count)], axis=-1), np.float32)


def rate_features(schema: FeatureSchema, config: RatesConfig, side: Sequence[Side]) -> list[Feature]:
    """The features of ``side`` that ``dlrm_ranker.rates.features`` names.

    Raises:
        ConfigError: if one of them is not categorical.
    """
    known = {f.name: f for f in schema if f.kind == "categorical"}
    for name in config.features:
        if name not in known:
            raise ConfigError(f"dlrm_ranker.rates.features: {name!r} holds no categories; there are {', '.join(known)}")
    return [known[name] for name in config.features if known[name].side in side]


def encode_rates(
    tensors: Tensors, events: Events, labels: Floats, config: RatesConfig, seed: int
) -> dict[str, Encoded]:
    """Feature -> its encoding, from ``events`` [n] of the training part with ``labels`` float32 [n, T]."""

    def codes(feature: Feature) -> Codes:
        return lambda at: _codes(tensors, events, feature, at)

    wanted = rate_features(tensors.schema, config, ("user", "context", "item"))
    own = {f.vocabulary or f.name: tensors.schema[f.vocabulary or f.name] for f in wanted}
    found = {name: encode(codes(f), labels, f.cardinality, config, seed) for name, f in own.items()}
    fold = draw_folds(len(labels), config.folds, seed)
    return {f.name: found[f.vocabulary].of_entries(fold, codes(f)) if f.vocabulary else found[f.name] for f in wanted}


def _codes(tensors: Tensors, events: Events, feature: Feature, at: NDArray[np.int64]) -> NDArray[Any]:
    """The codes [m, L] of a feature for the events ``at`` [m]."""
    if feature.name in events.moment:
        return np.asarray(events.moment[feature.name].take(at, axis=0))
    if feature.side == "user":
        return np.asarray(tensors.users[feature.name][events.user_row[at]])
    return np.asarray(tensors.items[feature.name][events.item_row[at]])
