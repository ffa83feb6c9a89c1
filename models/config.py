"""Config sections of the models: two_tower, dlrm_ranker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ..core.section import Section

Calibration = Literal["platt", "isotonic", "none"]


class TrainingConfig(Section):
    """How one model is trained."""

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=1024, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    patience: int = Field(default=3, ge=1)
    """Epochs without a better validation metric after which training stops; the best epoch is kept."""
    seed: int = 42
    checkpoint_minutes: float = Field(default=5, ge=0)
    """Minutes between checkpoints, from which a killed run goes on; 0 makes them at the end of each epoch alone."""
    clip_norm: float = Field(default=0, ge=0)
    """Largest L2 norm of a step's gradients together; larger ones are scaled down to it; 0 clips nothing."""
    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients are averaged for one step of the optimizer; see ``accumulation``."""
    recompute: bool = False
    """Compute parts of the model again for their gradient rather than keep them, a slice of the batch after the other:
    the ranker, or the two towers' reading of the history; see ``recompute``."""
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    """What the dense layers compute in; embeddings, interactions and losses are fp32 always."""
    embedding_optimizer: Literal["adam", "lazy_adam"] = "adam"
    """adam moves every row of a table at every step, lazy_adam only those of the batch: much faster on large tables,
    but rare rows learn more slowly, because Adam goes on moving a row for some steps after a batch has it."""
    embedding_l2: float = Field(default=0, ge=0)
    """Weight of the squared norms of the embeddings that a batch touches."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps of the optimizer during which the learning rate rises from 0."""
    decay_steps: int = Field(default=0, ge=0)
    """Steps of the optimizer after the warm-up during which the learning rate falls to 0 as a cosine; 0: it stays."""
    average: float = Field(default=1, ge=0)
    """Epochs over which the weights are averaged, which is what is validated and kept; 0: those of the last step."""
    tensorboard: bool = False
    """Write logs for TensorBoard to ``<run folder>.logs``."""


class TowerConfig(Section):
    """One tower: embedding width by feature and the widths of its layers."""

    emb_dims: dict[str, int] = {}
    """A feature that is not named gets ``default_dim``."""
    default_dim: int = Field(default=16, ge=1)
    mlp: list[int] = Field([128, 64], min_length=1)
    shortcut: bool = True
    """Add a linear map of the input vectors to what the layers make of them."""
    dropout: float = Field(default=0, ge=0, lt=1)
    """Share of the input vectors' numbers that a training step leaves out."""


class HistoryTowerConfig(Section):
    """What the user tower makes of the history; see ``history`` and ``pools``."""

    kind: Literal["recency", "mean", "attention", "transformer"] = "recency"
    """recency: a mean whose weight of each position is learned. mean: the plain one. attention: a mean whose weights
    depend on the items, too. transformer: the state of a causal transformer at the most recent item."""
    features: list[str] = []
    """Item features, e.g. genres, to read beside the ids of the history's items."""
    targets: int | None = Field(default=None, ge=1)
    """How many of a user's successive positives a training step predicts from one reading of the history: a reading
    costs the same for all of them, and the last of them has so many fewer items before it. null: 16 with a transformer,
    else 1."""
    query: Literal["learned", "last"] = "last"
    """attention only: what the items are compared with: one vector for all users, or the most recent item."""
    layers: int = Field(default=1, ge=1)
    """transformer only, as all below."""
    heads: int = Field(default=2, ge=1)
    """Each attends with an equal part of the width, which is that of item_id."""
    hidden: int = Field(default=128, ge=1)
    """Width of the layer between, in each layer's network."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    positions: Literal["distance", "window"] = "distance"
    """distance: attention learns how far back to look, the same from every item. window: a vector for each place of the
    history, most recent first, is added to the item there (SASRec)."""
    recency: bool = True
    """Give the recency mean beside the state."""


class UserTowerConfig(TowerConfig):
    """The user tower."""

    history: HistoryTowerConfig = HistoryTowerConfig()


class NegativesConfig(Section):
    """What the retriever learns to score low, beside the other items of the batch."""

    drawn: int = Field(default=1024, ge=1)
    """mixed only: items drawn from the whole catalogue for each batch, the same for all its queries."""
    popularity: float = Field(default=0.0, ge=0, le=1)
    """Items are drawn in proportion to their positives to the power of this: 0 is uniform, 1 is as they come."""
    per_query: int = Field(default=8, ge=1)
    """hard only: items that each query gets for itself."""
    share: float = Field(default=1.0, gt=0, le=1)
    """hard only: the share of these that is mined; the others are drawn from the whole catalogue."""
    margin: float = Field(default=0.0, ge=-2, le=2)
    """hard only: a mined item's cosine is lower than the positive's by more than this; below 0 it may be higher.
    ``recsys_hardneg_share`` counts the negatives, of every sampling, that are closer or higher."""
    skip: int = Field(default=0, ge=0)
    """hard only: so many of the highest-scored of these are passed over."""
    refresh_steps: int = Field(default=100, ge=1)
    """hard only: steps after which the item vectors that are searched are computed anew."""
    memory: int = Field(default=0, ge=0)
    """Item vectors of past batches that are negatives, too; 0 for none."""


class TwoTowerConfig(Section):
    """The retriever."""

    user_tower: UserTowerConfig = UserTowerConfig()
    item_tower: TowerConfig = TowerConfig()
    loss: Literal["bpr", "softmax", "sampled_softmax"] = "sampled_softmax"
    """sampled_softmax is the softmax with logQ correction: each candidate counts for as many as it was drawn from. bpr,
    over pairs of a positive and a negative, has it for all but a query's own negatives. softmax has it not: it learns
    how much more an item suits a user than it suits others, so popular items stay low."""
    neg_sampling: Literal["in_batch", "hard", "mixed"] = "in_batch"
    """in_batch: the other items of the batch; mixed: and items drawn from the catalogue; hard: and, for each query,
    wrong items that score high."""
    negatives: NegativesConfig = NegativesConfig()
    temperature: float = Field(default=0.1, gt=0)
    """What cosine similarities are divided by before the loss."""
    learn_temperature: bool = False
    """Learn it with the weights, from that value on."""
    id_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of training rows whose user is shown as unknown, so that unknown users get popular items."""
    item_id_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of a batch's items whose id is shown as unknown, so that an item without interactions is placed by its
    other features. An item that is there several times is hidden as a whole."""
    subsample: float = Field(default=0, ge=0)
    """Share of the positives that an item may have before an epoch leaves some of them out: one whose item's share f is
    larger stays with probability sqrt(subsample / f). 0 keeps all; 1e-4 to 1e-2 are usual. logQ counts what stays."""
    training: TrainingConfig = TrainingConfig()

    @field_validator("user_tower", mode="before")
    @classmethod
    def _any_tower(cls, value: Any) -> Any:
        """A plain ``TowerConfig`` is a user tower with the history's defaults."""
        return value.model_dump() if type(value) is TowerConfig else value


TEMPERATURES = 0.01, 1.0
"""A learned temperature stays between them."""


def conflicts(config: TwoTowerConfig) -> Iterator[str]:
    """A line for each pair of keys that cannot work together."""
    negatives, (low, high) = config.negatives, TEMPERATURES
    if config.neg_sampling == "hard" and mined(negatives) == 0:
        yield (
            f"two_tower.negatives.share: {negatives.share:g} of two_tower.negatives.per_query {negatives.per_query} is "
            "less than one mined item: raise either, or set two_tower.neg_sampling: mixed"
        )
    if config.learn_temperature and not low < config.temperature < high:
        yield (
            f"two_tower.temperature: is {config.temperature:g}, must lie between {low:g} and {high:g} with "
            "two_tower.learn_temperature: true"
        )
    yield from _history_conflicts(config)


ONLY = {
    "attention": ("query",),
    "transformer": ("layers", "heads", "hidden", "dropout", "positions", "recency"),
}
"""Kind of history -> the keys that are for it alone."""


def _history_conflicts(config: TwoTowerConfig) -> Iterator[str]:
    history, key = config.user_tower.history, "two_tower.user_tower.history"
    for kind, names in ONLY.items():
        for name in names:
            if kind != history.kind and getattr(history, name) != type(history).model_fields[name].default:
                yield f"{key}.{name}: is for {key}.kind: {kind}, which is {history.kind}: set that, or leave it out"
    if config.training.recompute and history.kind in ("recency", "mean"):
        yield (
            f"two_tower.training.recompute: recomputes what attends to the history, {key}.kind is {history.kind}: set "
            "that to transformer or attention, or leave two_tower.training.recompute out"
        )
    width = config.item_tower.emb_dims.get("item_id", config.item_tower.default_dim)
    if history.kind == "transformer" and width % history.heads:
        yield (
            f"{key}.heads: {history.heads} do not divide the width of two_tower.item_tower.emb_dims.item_id, {width}"
        )


def targets(config: HistoryTowerConfig) -> int:
    """``targets`` with what null stands for."""
    return config.targets or (16 if config.kind == "transformer" else 1)


def mined(config: NegativesConfig) -> int:
    """How many of a query's own negatives are mined."""
    return round(config.share * config.per_query)


class RankerTrainingConfig(TrainingConfig):
    """How the ranker is trained."""

    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=8192, ge=2)
    """Scored rows: a positive and its negatives are several."""
    learning_rate: float = Field(default=2e-3, gt=0)
    patience: int = Field(default=2, ge=1)
    renew_embeddings: bool = False
    """Begin each epoch with new embeddings; see ``renewal``."""


class CrossConfig(Section):
    """The cross layers of ``dlrm_ranker.interactions: cross``."""

    layers: int = Field(default=2, ge=1)
    rank: int | None = Field(default=None, ge=1)
    """Each layer's matrix is a product of two of this rank; null: a full matrix."""


class RankerHistoryConfig(Section):
    """How the ranker reads the user's history."""

    kind: Literal["recency", "target_attention"] = "recency"
    """recency: a mean whose weight of each position is learned, and the last item. target_attention: beside them, each
    candidate weighs the history's items for itself (deep interest network)."""
    heads: int = Field(default=1, ge=1)
    """target_attention only: how many times each candidate does so."""
    features: list[str] = []
    """target_attention only: item features, e.g. genres, to read beside the ids of the history's items."""


class LabelConfig(Section):
    """One of several labels that the ranker predicts."""

    weight: float = Field(default=1.0, gt=0)
    """Of its cross-entropy in training, beside the other labels'."""
    positive_weight: float = Field(default=1.0, gt=0)
    """See ``dlrm_ranker.positive_weight``."""
    serve: float = Field(default=1.0, ge=0)
    """Of its probability in the score, beside the other labels'; the weights are normalized. 0: only learned with."""


class RatesConfig(Section):
    """Impressions only: how often the label was 1 for each category of some features, beside the dense columns.

    See ``rates``.
    """

    features: list[str] = ["user_id", "item_id"]
    """Categories of any side, single ones and lists, ``history`` among them; []: none."""
    smoothing: float = Field(default=10, gt=0)
    """Events with the mean of all that each category is given beside its own."""
    folds: int = Field(default=5, ge=2)
    """A training row has its categories' numbers from the events of the other folds."""


class TransitionsConfig(Section):
    """Counts of what followed what in the training part's histories, as numbers of a user and a candidate.

    See ``transitions``.
    """

    last: int = Field(default=0, ge=0)
    """How many of the user's last items to read the followers of; 0: none of this."""
    window: int = Field(default=10, ge=1)
    """A later item of a history counts as a follower up to so many items after; each counts 1 / distance."""


class DlrmConfig(Section):
    """The ranker."""

    embedding_dims: dict[str, int] = {}
    default_dim: int = Field(default=16, ge=1)
    bottom_mlp: list[int] = Field([128, 64], min_length=1)
    top_mlp: list[int] = Field([128, 64, 1], min_length=1)
    interactions: Literal["dot", "concat", "cross"] = "dot"
    """How vectors meet. dot: every two in a product (DLRM). concat: side by side into the top network. cross: side by
    side through cross layers (DCN-v2), the top network on what comes out."""
    cross: CrossConfig = CrossConfig()
    """cross only."""
    history: RankerHistoryConfig = RankerHistoryConfig()
    transitions: TransitionsConfig = TransitionsConfig()
    loss: Literal["bce"] = "bce"
    positive_weight: float = Field(default=1.0, gt=0)
    """How many times a positive counts in the loss. It makes rare positives weigh more; the shift of the probability
    that comes with it is taken off again."""
    labels: dict[str, LabelConfig] = {}
    """Impressions only: several 0/1 labels to learn at once, ``label`` or columns named in ``data.labels``, each with a
    top network of its own. Served is the weighted mean of their probabilities."""
    rates: RatesConfig = RatesConfig()
    warm_start: bool = True
    """Begin item embeddings at the retriever's item vectors; see ``warm_start``."""
    train_on: Literal["auto", "impressions", "candidates"] = "auto"
    """auto: impressions where interactions have a 0/1 ``label`` column, else the retriever's candidates."""
    negatives: int = Field(default=16, ge=1)
    """candidates only: hard negatives drawn for each positive from the retriever's candidates."""
    random_negatives: int = Field(default=4, ge=0)
    """candidates only: negatives drawn for each positive uniformly from the catalogue."""
    explicit_negatives: int = Field(default=2, ge=0)
    """candidates only: negatives drawn for each positive from what its user had and did not like, if ``data.positive``
    tells."""
    max_events: int = Field(default=300_000, ge=1)
    """candidates only: train on at most that many positives, drawn at random."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of the feature vectors' numbers that a training step leaves out."""
    id_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of training rows whose user is shown as unknown."""
    item_id_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of training rows whose item's id is shown as unknown."""
    calibration: Calibration = "platt"
    """How logits become probabilities; fitted on the validation part, exported into the served model. platt: weights of
    the ranker and the retriever and a bias, by logistic regression. isotonic: a rising curve on top of that. none:
    the DLRM's own logit as it was trained, without the retriever's part; nothing is fitted."""
    training: RankerTrainingConfig = RankerTrainingConfig()

    @model_validator(mode="after")
    def _a_label_is_served(self) -> DlrmConfig:
        if self.labels and not any(label.serve for label in self.labels.values()):
            raise ValueError("labels: at least one needs a serve above 0, the score is made of those")
        return self
