"""The two-tower retriever: the cosine of a query vector and an item vector is the score of the item."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...core.errors import ConfigError
from ...core.features import FeatureSchema
from .._merlin import mm, tf
from ..config import (
    TEMPERATURES,
    TowerConfig,
    TwoTowerConfig,
    conflicts,
)
from ..layers.feature_vectors import TowerInputs, embedding_tables
from ..layers.history_items import ItemTables
from ..layers.schema import check_names, table_dims
from ..layers.step_size import row_numbers
from ..training.memory_estimate import StepSize
from .history_encoder import History, history_layer

USER_TOWER, ITEM_TOWER = "two_tower.user_tower", "two_tower.item_tower"


class TwoTower(tf.keras.Model):
    """Two Merlin encoders: ``query`` for user and context features, ``candidate`` for item features.

    Both return float32 [B, D] of length 1.

    Args:
        temperature: what training divides cosines by.
        learn: whether the temperature is a weight of the model, which starts at ``temperature``.
    """

    def __init__(
        self, query: Any, candidate: Any, temperature: float = 1.0, learn: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.query, self.candidate = query, candidate
        self._fixed = temperature
        self._place = self.add_weight("temperature", shape=(), initializer=_place(temperature)) if learn else None

    def call(self, columns: tuple[Mapping[str, Any], Mapping[str, Any]], training: bool = False) -> tuple[Any, Any]:
        users, items = columns
        return self.query(users, training=training), self.candidate(items, training=training)

    def temperature(self) -> Any:
        """The fixed number, or the learned scalar low * (high / low) ** sigmoid(weight), which stays in the bounds."""
        if self._place is None:
            return self._fixed
        low, high = TEMPERATURES
        return low * (high / low) ** tf.sigmoid(self._place)

    def step_size(self, rows: int, others: int) -> StepSize:
        """Numbers of a training step on ``rows`` queries, each scored against ``others`` items."""
        histories = [part for part in self.submodules if isinstance(part, History)]
        numbers = row_numbers(self) + sum(int(part.numbers) for part in histories) + others
        recomputed, kept = sum(part.numbers for part in histories), sum(part.kept for part in histories)
        return StepSize(rows * numbers, rows * recomputed, rows * kept)


def _place(temperature: float) -> Any:
    """Initializer of the weight of a learned temperature."""
    low, high = TEMPERATURES
    share = math.log(temperature / low) / math.log(high / low)
    return tf.keras.initializers.Constant(math.log(share / (1 - share)))


def build(schema: FeatureSchema, config: TwoTowerConfig, item_columns: ItemTables | None = None) -> TwoTower:
    """The untrained retriever. The items of the history are looked up in the embedding tables of the item tower.

    Args:
        item_columns: the etl's item features [n_items, L]; needed if the history reads any.

    Raises:
        ConfigError: if a width is given for an unknown feature, if the towers end in different widths, or if keys
            contradict each other.
    """
    check(schema, config)
    user, item = config.user_tower, config.item_tower
    users, items = schema.side("user", "context"), schema.side("item")
    item_tables = embedding_tables(items, table_dims(schema, ("item",), item.emb_dims, item.default_dim))
    user_dims = table_dims(schema, ("user", "context"), user.emb_dims, user.default_dim)
    own = [f for f in users if (f.vocabulary or f.name) not in item_tables]
    user_tables = {**embedding_tables(own, user_dims), **item_tables}
    history = history_layer(schema, user.history, user_tables, item_columns, config.training.recompute)
    return TwoTower(
        encoder("query", TowerInputs(users, user_tables, history, user.dropout), user),
        encoder("candidate", TowerInputs(items, item_tables, dropout=item.dropout), item),
        config.temperature,
        config.learn_temperature,
    )


def encoder(name: str, inputs: TowerInputs, config: TowerConfig) -> Any:
    """A Merlin encoder: ``inputs``, the config's MLP with a linear last layer, outputs scaled to length 1."""
    layers = mm.MLPBlock(list(config.mlp), no_activation_last_layer=True)
    if config.shortcut:
        layers = Shortcut(layers, config.mlp[-1])
    return mm.Encoder(inputs, layers, post=UnitLength(), prep_features=False, name=name)


class Shortcut(tf.keras.layers.Layer):
    """layers(x) + x W: a linear path beside the layers, like the wide part of a wide and deep model.

    Cheng et al., "Wide & deep learning for recommender systems", 2016. Along it the embeddings of both towers meet as
    in a matrix factorization, which learns from few events.
    """

    def __init__(self, layers: Any, width: int) -> None:
        super().__init__()
        self.layers = layers
        self.straight = tf.keras.layers.Dense(width, use_bias=False)

    def call(self, rows: Any) -> Any:
        return self.layers(rows) + self.straight(rows)

    def compute_output_shape(self, shape: Any) -> Any:
        """Merlin's encoder needs it."""
        return tf.TensorShape([shape[0], self.straight.units])


class UnitLength(tf.keras.layers.Layer):
    """Divides each row by its L2 norm, so that inner products are cosines."""

    def call(self, rows: Any) -> Any:
        return tf.math.l2_normalize(rows, axis=-1)


def check(schema: FeatureSchema, config: TwoTowerConfig) -> None:
    """Check the config against the schema.

    Raises:
        ConfigError: see `build`.
    """
    for line in conflicts(config):
        raise ConfigError(line)
    user, item = config.user_tower, config.item_tower
    check_names(schema, user.emb_dims, f"{USER_TOWER}.emb_dims")
    check_names(schema, item.emb_dims, f"{ITEM_TOWER}.emb_dims")
    if user.mlp[-1] != item.mlp[-1]:
        raise ConfigError(f"{USER_TOWER}.mlp ends in {user.mlp[-1]}, {ITEM_TOWER}.mlp in {item.mlp[-1]}: must be equal")
    width = item.emb_dims.get("item_id", item.default_dim)
    for name in ("item_id", "history"):
        if user.emb_dims.get(name, width) != width:
            raise ConfigError(
                f"{USER_TOWER}.emb_dims.{name}: is {user.emb_dims[name]}, {ITEM_TOWER}.emb_dims.item_id {width}: "
                "the history's items are looked up in the item tower's table, so both must be equal"
            )
