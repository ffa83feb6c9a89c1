"""How often the label of logged impressions was 1, for each user and item: numbers that the ranker reads.

Target encoding (Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes", 2001). With few
events an id, an embedding cannot learn what its mean says at once. A training row must not see its own label in its
id's mean, so that is taken over the events of the other folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ConfigError
from ..core.features import Feature, FeatureSchema, Side
from ..workflows.lookup_tables import UNKNOWN_CODE
from .backend import tf
from .config import RatesConfig

if TYPE_CHECKING:
    from ..workflows.tensors import Tensors
    from .events import Events

Floats = NDArray[np.float32]
PREFIX = "rates:"
"""Before the name of a feature: its numbers in a batch."""


class Rates(tf.keras.layers.Layer):
    """Code [..., 1] -> its numbers float32 [..., C]: C - 1 rates and the log of how many events they are from.

    All are 0 for codes without events, those of unknown and missing values among them.
    """

    def __init__(self, feature: Feature, labels: int) -> None:
        super().__init__(name=f"{feature.name}_rates")
        self.feature, self.width = feature.name, labels + 1
        shape = (feature.cardinality, self.width)
        self.table = self.add_weight("table", shape, trainable=False, initializer="zeros")

    def call(self, columns: Mapping[str, Any]) -> Any:
        """The numbers of a training batch, where it has them, do not have its own labels in them."""
        codes = columns[self.feature]
        given = columns.get(f"{PREFIX}{self.feature}")
        if given is None:
            return tf.gather(self.table, tf.squeeze(codes, axis=-1))
        return tf.where(codes == UNKNOWN_CODE, tf.zeros_like(given), given)


@dataclass(frozen=True)
class Encoded:
    """A feature's numbers."""

    table: Floats
    """[cardinality, C], from all events."""
    rows: Floats
    """[n, C] for each event, from the events of the other folds."""


def encode(codes: NDArray[Any], labels: Floats, cardinality: int, config: RatesConfig, seed: int) -> Encoded:
    """The numbers of one feature.

    A rate is the log-odds of (sum + smoothing * mean) / (count + smoothing), less those of the mean.

    Args:
        codes: int [n].
        labels: [n, T], 0 or 1, each of them present.
    """
    fold = np.random.default_rng(seed).integers(0, config.folds, len(codes))
    mean = labels.mean(axis=0, dtype=np.float64)
    sums = np.stack([_sums(codes, labels, cardinality, fold == k) for k in range(config.folds)])
    every = sums.sum(axis=0)
    others = np.concatenate([every[codes[fold == k]] - sums[k, codes[fold == k]] for k in range(config.folds)])
    rows = np.empty((len(codes), labels.shape[1] + 1), np.float32)
    rows[np.concatenate([np.flatnonzero(fold == k) for k in range(config.folds)])] = _numbers(others, mean, config)
    return Encoded(_numbers(every, mean, config), rows)


def _sums(codes: NDArray[Any], labels: Floats, cardinality: int, keep: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Each code's sum of every label, and its count [cardinality, T + 1]; codes of unknown values have none."""
    own = codes[keep]
    columns = [np.bincount(own, y, cardinality) for y in (*labels[keep].T, np.ones(len(own)))]
    sums = np.stack(columns, axis=1).astype(np.float64)
    sums[: UNKNOWN_CODE + 1] = 0
    return sums


def _numbers(sums: NDArray[np.float64], mean: NDArray[np.float64], config: RatesConfig) -> Floats:
    count = sums[:, -1:]
    share = (sums[:, :-1] + config.smoothing * mean) / (count + config.smoothing)
    odds = np.log(share / (1 - share)) - np.log(mean / (1 - mean))
    return np.asarray(np.concatenate([np.where(count > 0, odds, 0.0), np.log1p(count)], axis=1), np.float32)


def rated(schema: FeatureSchema, config: RatesConfig, side: Sequence[Side]) -> list[Feature]:
    """The features of a side whose rates the ranker reads.

    Raises:
        ConfigError: if one of ``rates.features`` is no single category.
    """
    known = {f.name: f for f in schema if f.kind == "categorical" and f.length is None}
    for name in config.features:
        if name not in known:
            raise ConfigError(
                f"dlrm_ranker.rates.features: {name!r} is no single category; there are {', '.join(known)}"
            )
    return [known[name] for name in config.features if known[name].side in side]


def encode_rates(
    tensors: Tensors, events: Events, labels: Floats, config: RatesConfig, seed: int
) -> dict[str, Encoded]:
    """Feature -> its numbers for the training part's ``events`` with labels [n, T]."""
    features = rated(tensors.schema, config, ("user", "context", "item"))
    return {f.name: encode(_codes(tensors, events, f), labels, f.cardinality, config, seed) for f in features}


def _codes(tensors: Tensors, events: Events, feature: Feature) -> NDArray[Any]:
    if feature.side == "context":
        return np.asarray(events.moment[feature.name])[:, 0]
    if feature.side == "user":
        return np.asarray(tensors.users[feature.name][events.user_row, 0])
    return np.asarray(tensors.items[feature.name][events.item_row, 0])
