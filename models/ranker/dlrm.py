"""The ranker: a DLRM over a user and the user's candidates, which computes the user part once for all candidates.

Naumov et al., "Deep learning recommendation model for personalization and recommendation systems", 2019. Each feature
becomes a vector, an interaction (see ``interactions``) combines the vectors of user and item, and the top network turns
its output into a logit.

Shapes: B users, K candidates of each, L length of a feature's list, T labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.errors import ConfigError
from ...core.features import FeatureSchema, Side
from ...core.registry import find, naming
from ...workflows.history.transitions import TRANSITIONS, WIDTH
from .._merlin import mm, tf
from ..config import DlrmConfig, RatesConfig
from ..layers.feature_vectors import embedding_tables
from ..layers.history_items import ItemTables
from ..layers.schema import check_names, table_dims
from ..layers.step_size import row_numbers, vector_widths
from ..training.gradient_checkpointing import SLICES
from ..training.memory_estimate import StepSize
from .heads import combine, shares
from .interactions import INTERACTIONS, Interaction
from .item_part import SHARE
from .side import SideVectors, concat_vectors
from .target_attention import TargetAttention, attended_features, attention_layer
from .target_encoding import Rates, rate_features


class Dlrm(tf.keras.Model):
    """User and context features [B, L] and item features [B, K, L] -> logits float32 [B, K].

    The interaction separates what depends on the user only, on the item only, and on the pair. The request path can
    therefore compute the user part once for all candidates, and read the item part from tables that the export
    computes: see ``item_part`` and ``pair``.

    Args:
        users, items: the feature vectors of both sides.
        interaction: computes the first layer of the top network, before its activation.
        top: widths of the top network's other layers.
        share: the weight of each label in the score. Each label has its own head: the layers after the first one.
        attention: adds a term to the first layer, from the history as each candidate weighs it.
        followers: a dense layer that adds another term, from ``transitions`` float32 [B, K, WIDTH].
        interaction_name: name of ``interaction`` in the config, for errors that it raises.
    """

    def __init__(
        self,
        users: SideVectors,
        items: SideVectors,
        interaction: Interaction,
        top: Sequence[int],
        share: Sequence[float] = (1.0,),
        attention: TargetAttention | None = None,
        followers: Any | None = None,
        interaction_name: str = "dot",
    ) -> None:
        super().__init__()
        self.followers, self.interaction_name = followers, interaction_name
        self.users, self.items, self.interaction, self.attention = users, items, interaction, attention
        self.heads = [mm.MLPBlock(list(top), no_activation_last_layer=True) for _ in share]
        self.share = tuple(share)

    @property
    def rates(self) -> list[Rates]:
        return [*self.users.rates, *self.items.rates]

    @property
    def tables(self) -> list[Any]:
        """All embedding tables, each once: those of both sides, and those that only the attention reads."""
        attended = self.attention.items.tables if self.attention else {}
        every = {**self.users.vectors.tables, **self.items.vectors.tables, **attended}
        return [table for table in every.values() if isinstance(table, mm.EmbeddingTable)]

    @property
    def part_widths(self) -> dict[str, int]:
        """The tables of the item part -> their widths."""
        more = self.attention.part_widths if self.attention else {}
        return {**self.interaction.part_widths, **more}

    def call(self, columns: Mapping[str, Any], training: bool = False, heads: bool = False) -> Any:
        """Logits float32 [B, K]; with ``heads`` the logits of each label, [B, K, T]."""
        flat, shape = flat_items(self.items.pick(columns))
        pairs = isinstance(shape[1], int)
        users = self.users(self.users.pick(columns), training=training, apart=pairs)
        items = self.items(flat, training=training, apart=pairs)
        with naming("interaction", self.interaction_name):
            first = self.interaction.of_pairs(users, items) if pairs else self.interaction.at_once(users, items, shape)
        if self.attention:
            own = concat_vectors(items, self.interaction.stacked) if pairs else items
            first += self.attention.at_once(self.attention.user_part(columns, training), own, shape)
        logits = self._heads(self._with_followers(first, columns))
        if heads:
            return tf.reshape(tf.concat(logits, axis=-1), [*shape, len(logits)])
        return tf.reshape(combine(logits, self.share), shape)

    def item_part(self, columns: Mapping[str, Any]) -> Any:
        """Item features [N, L] -> float32 [N, sum of widths], in the order of ``part_widths``."""
        part = self._item_part(self.items(self.items.pick(columns)))
        return tf.concat([part[name] for name in self.part_widths], axis=-1)

    def pair(self, columns: Mapping[str, Any]) -> Any:
        """The result of ``call``, from user and context features [B, L] and item parts [B, K, width]."""
        vectors = self.users(self.users.pick(columns))
        with naming("interaction", self.interaction_name):
            user = dict(self.interaction.user_part(vectors))
        if self.attention:
            user |= self.attention.user_part(columns, many=True)
        shape = shape_of(columns[SHARE])[:2]
        logits = self._heads(self._with_followers(self._first(user, columns, (shape[0], -1)), columns))
        return tf.reshape(combine(logits, self.share), shape)

    def _item_part(self, items: Any) -> dict[str, Any]:
        with naming("interaction", self.interaction_name):
            part = dict(self.interaction.item_part(items))
        return part | self.attention.item_part(items) if self.attention else part

    def _first(self, user: Mapping[str, Any], item: Mapping[str, Any], shape: tuple[Any, Any]) -> Any:
        """The top network's first layer before its activation [B * K, H]."""
        with naming("interaction", self.interaction_name):
            found = self.interaction.pair(user, item, shape)
        return found + self.attention.pair(user, item, shape) if self.attention else found

    def _with_followers(self, first: Any, columns: Mapping[str, Any]) -> Any:
        if self.followers is None:
            return first
        return first + self.followers(tf.reshape(columns[TRANSITIONS], [-1, WIDTH]))

    def _heads(self, first: Any) -> list[Any]:
        """Each label's logits [n, 1] from the first layer before its activation [n, H]."""
        shown = tf.nn.relu(first)
        return [head(shown) for head in self.heads]

    def step_size(self, rows: int, others: int) -> StepSize:
        """Numbers of a training step on ``rows`` rows; they are not compared with ``others``.

        When recomputed, what is kept are the gradients of the embeddings: rows of tables, each at most once per slice.
        """
        attended = self.attention.numbers if self.attention else 0
        numbers = rows * (row_numbers(self) + attended)
        looked_up = (min(rows * f.dims[0], SLICES * f.cardinality) * dim for f, dim in vector_widths(self))
        return StepSize(numbers, numbers, sum(looked_up))


def shape_of(values: Any) -> Any:
    """The shape as int64, the type of shapes in ONNX: without a cast ONNX Runtime can optimize the shape away."""
    return tf.shape(values, out_type=tf.int64)


def flat_items(columns: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Any, Any]]:
    """Item features [B, K, L] as [B * K, L], and the shape (B, K); K is a Python number if it is known to be 1."""
    first = next(iter(columns.values()))
    users, candidates = tf.unstack(tf.shape(first)[:2])
    shape = (users, 1 if first.shape[1] == 1 else candidates)
    return {name: tf.reshape(own, [-1, own.shape[-1]]) for name, own in columns.items()}, shape


def build(
    schema: FeatureSchema, config: DlrmConfig, catalogue: ItemTables | None = None, impressions: bool = False
) -> Dlrm:
    """The untrained ranker. The dot interaction projects all vectors to the width of the bottom network's last layer.

    Args:
        catalogue: the etl's item features [n_items, L]; needed for ``dlrm_ranker.history.features``.
        impressions: whether it learns from impressions. It then has target encodings (``dlrm_ranker.rates``), whose
            tables the caller fills.

    Raises:
        ConfigError: if a width is given for an unknown feature, or if widths do not fit together.
    """
    if config.top_mlp[-1] != 1 or len(config.top_mlp) < 2:
        raise ConfigError(f"dlrm_ranker.top_mlp: {config.top_mlp} must hold two layers or more and end in 1")
    check_names(schema, config.embedding_dims, "dlrm_ranker.embedding_dims")
    sides_of: dict[str, tuple[Side, ...]] = {"users": ("user", "context"), "items": ("item",)}
    sides = {name: schema.side(*side) for name, side in sides_of.items()}
    dims = table_dims(schema, ("user", "context", "item"), config.embedding_dims, config.default_dim)
    tables = embedding_tables([*sides["items"], *sides["users"]], dims)
    kind: type[Interaction] = find("interaction", config.interactions, INTERACTIONS)
    labels, rates = len(config.labels) or 1, RatesConfig(features=[]) if not impressions else config.rates
    numbers = {name: [Rates(f, labels) for f in rate_features(schema, rates, side)] for name, side in sides_of.items()}
    sides["users"] = tuple(f for f in sides["users"] if f.name not in attended_features(config.history))
    users, items = (
        SideVectors(features, tables, config.bottom_mlp, config.dropout, kind.stacked, name, numbers[name])
        for name, features in sides.items()
    )
    with naming("interaction", config.interactions):
        interaction = kind(users.layout, items.layout, config)
    attention = attention_layer(schema, config, tables, items.layout, catalogue)
    followers = None
    if config.transitions.last:
        followers = tf.keras.layers.Dense(config.top_mlp[0], use_bias=False, name="followers")
    top, share = config.top_mlp[1:], shares(config.labels)
    return Dlrm(users, items, interaction, top, share, attention, followers, config.interactions)
