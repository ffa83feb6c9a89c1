"""The ranker: DLRM over a user and that user's candidates, the user's part computed once.

Naumov et al., "Deep learning recommendation model for personalization and recommendation systems", 2019. Every feature
becomes a vector, the vectors of user and item meet in an interaction (`interactions`), and the top network turns what
comes of it into a logit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.errors import ConfigError
from ...core.features import FeatureSchema, Side
from ...core.registry import find
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
from .side import SideVectors, beside
from .target_attention import TargetAttention, of_schema, reads
from .target_encoding import Rates, rated


class Dlrm(tf.keras.Model):
    """User and context features [B, L] and item features [B, K, L] -> logits float32 [B, K].

    The interaction tells what depends on one side alone, so the request path computes the user's part once for all
    candidates and reads the item's from tables made at export: ``item_part`` and ``pair``.

    Args:
        top: widths of the top network after its first layer.
        share: each label's share of the score. Several labels have a top network each, from the second layer on.
        attention: gives a further share of the top network's first layer, from the history as each candidate weighs it.
        followers: a matrix that gives another, from ``transitions`` float32 [B, K, WIDTH].
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
    ) -> None:
        super().__init__()
        self.followers = followers
        self.users, self.items, self.interaction, self.attention = users, items, interaction, attention
        self.heads = [mm.MLPBlock(list(top), no_activation_last_layer=True) for _ in share]
        self.share = tuple(share)

    @property
    def rates(self) -> list[Rates]:
        return [*self.users.rates, *self.items.rates]

    @property
    def tables(self) -> list[Any]:
        """Embedding tables, each once: of both sides, and what the attention alone reads."""
        attended = self.attention.items.tables if self.attention else {}
        every = {**self.users.vectors.tables, **self.items.vectors.tables, **attended}
        return [table for table in every.values() if isinstance(table, mm.EmbeddingTable)]

    @property
    def part_widths(self) -> dict[str, int]:
        """The tables of an item's part -> their widths."""
        more = self.attention.part_widths if self.attention else {}
        return {**self.interaction.part_widths, **more}

    def call(self, columns: Mapping[str, Any], training: bool = False, heads: bool = False) -> Any:
        """Logits [B, K]; with ``heads`` those of each label, [B, K, T]."""
        flat, shape = flat_items(self.items.pick(columns))
        pairs = isinstance(shape[1], int)
        users = self.users(self.users.pick(columns), training=training, apart=pairs)
        items = self.items(flat, training=training, apart=pairs)
        first = self.interaction.of_pairs(users, items) if pairs else self.interaction.at_once(users, items, shape)
        if self.attention:
            own = beside(items, self.interaction.stacked) if pairs else items
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
        """What ``call`` gives, from user and context features [B, L] and the items' parts [B, K, width]."""
        user = dict(self.interaction.user_part(self.users(self.users.pick(columns))))
        if self.attention:
            user |= self.attention.user_part(columns, many=True)
        shape = sizes(columns[SHARE])[:2]
        logits = self._heads(self._with_followers(self._first(user, columns, (shape[0], -1)), columns))
        return tf.reshape(combine(logits, self.share), shape)

    def _item_part(self, items: Any) -> dict[str, Any]:
        part = dict(self.interaction.item_part(items))
        return part | self.attention.item_part(items) if self.attention else part

    def _first(self, user: Mapping[str, Any], item: Mapping[str, Any], shape: tuple[Any, Any]) -> Any:
        """The top network's first layer before its activation [B * K, H]."""
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


def sizes(values: Any) -> Any:
    """The shape, in ONNX's own type of shapes: ONNX Runtime sees through it where nothing is cast."""
    return tf.shape(values, out_type=tf.int64)


def flat_items(columns: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Any, Any]]:
    """Item features [B, K, L] as [B * K, L], and (B, K); K is a number where it is known to be 1."""
    first = next(iter(columns.values()))
    users, candidates = tf.unstack(tf.shape(first)[:2])
    shape = (users, 1 if first.shape[1] == 1 else candidates)
    return {name: tf.reshape(own, [-1, own.shape[-1]]) for name, own in columns.items()}, shape


def build(
    schema: FeatureSchema, config: DlrmConfig, catalogue: ItemTables | None = None, impressions: bool = False
) -> Dlrm:
    """The ranker. Dot products need vectors of one width: there, embeddings are projected to the bottom network's last.

    Args:
        catalogue: the etl's item features [n_items, L]; needed for ``dlrm_ranker.history.features``.
        impressions: it learns from these, and so has ``rates``; their tables are still to be filled.

    Raises:
        ConfigError: a width for a feature that is not there, or widths that do not fit together.
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
    numbers = {name: [Rates(f, labels) for f in rated(schema, rates, side)] for name, side in sides_of.items()}
    sides["users"] = tuple(f for f in sides["users"] if f.name not in reads(config.history))
    users, items = (
        SideVectors(features, tables, config.bottom_mlp, config.dropout, kind.stacked, name, numbers[name])
        for name, features in sides.items()
    )
    interaction = kind(users.layout, items.layout, config)
    attention = of_schema(schema, config, tables, items.layout, catalogue)
    followers = None
    if config.transitions.last:
        followers = tf.keras.layers.Dense(config.top_mlp[0], use_bias=False, name="followers")
    return Dlrm(users, items, interaction, config.top_mlp[1:], shares(config.labels), attention, followers)
