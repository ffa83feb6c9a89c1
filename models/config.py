"""Config sections of the models: two_tower, dlrm_ranker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ..core.extensible import NameOf
from ..core.section import Section

Calibration = Literal["platt", "isotonic", "none"]
Order = Literal["retriever", "dlrm", "fused"]
"""Whose scores order the served list, the simplest first."""


class TrainingConfig(Section):
    """How one model is trained."""

    epochs: int = Field(default=20, ge=1)
    """Largest number of passes over the training data. Unit: epochs. Example: ``5``."""
    batch_size: int = Field(default=1024, ge=2)
    """Number of positives in a step; their items are also each other's negatives. Unit: rows. Example: ``4096``."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Step size of Adam. Example: ``3e-4``."""
    patience: int = Field(default=2, ge=1)
    """Training stops after this many epochs without a better validation metric, and keeps the best epoch. Unit: epochs.
    Example: ``5``."""
    min_delta: float = Field(default=0.002, ge=0)
    """An epoch ends the waiting of ``patience`` only if the validation metric is better by this share of it. What is
    kept is the best epoch whatever its lead. Example: ``0``."""
    seed: int = 42
    """Seed of the weights, the order of the rows and everything else that is random. Example: ``7``."""
    checkpoint_minutes: float = Field(default=5, ge=0)
    """Time between checkpoints. A run that was killed continues from the last one. 0 writes one at the end of each
    epoch only. Unit: minutes. Example: ``1``."""
    clip_norm: float = Field(default=0, ge=0)
    """Largest L2 norm of all gradients of a step together; larger gradients are scaled down to it. 0 clips nothing.
    Example: ``1.0``."""
    accumulate: int = Field(default=1, ge=1)
    """Number of batches whose gradients are averaged into one step of the optimizer. Unit: batches. Example: ``4``."""
    recompute: bool = False
    """Gradient checkpointing: compute activations again in the backward pass instead of keeping them, one slice of the
    batch at a time. It covers the ranker, and in the retriever the history encoder. It saves memory and costs time."""
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    """Number format of the hidden dense layers. Embeddings, interactions and losses are always fp32."""
    embedding_optimizer: Literal["adam", "lazy_adam"] = "adam"
    """adam updates every row of an embedding table in each step. lazy_adam updates only the rows of the batch: much
    faster for large tables, but rare rows learn more slowly, because Adam keeps moving a row for some steps after its
    last batch."""
    embedding_l2: float = Field(default=0, ge=0)
    """Weight of L2 regularization of the embeddings that a batch uses. Example: ``1e-5``."""
    warmup_steps: int = Field(default=0, ge=0)
    """Number of optimizer steps in which the learning rate rises from 0 to its value. Unit: steps. Example: ``500``."""
    decay_steps: int = Field(default=0, ge=0)
    """Number of optimizer steps after the warm-up in which the learning rate falls to 0 along a cosine. 0 keeps it
    constant. Unit: steps. Example: ``10000``."""
    average: float = Field(default=1, ge=0)
    """Horizon of the exponential moving average of the weights. The averaged weights are validated and saved. 0 uses
    the weights of the last step. Unit: epochs. Example: ``0.5``."""
    tensorboard: bool = False
    """Whether to write logs for TensorBoard, to ``<run folder>.logs``."""


class TowerConfig(Section):
    """One tower: its embeddings and hidden layers."""

    emb_dims: dict[str, int] = {}
    """Feature -> width of its embedding. Example: ``{item_id: 64, genres: 16}``."""
    default_dim: int = Field(default=16, ge=1)
    """Width of the embedding of every feature that emb_dims does not name. Example: ``32``."""
    mlp: list[int] = Field(default=[128, 64], min_length=1)
    """Widths of the hidden layers and, last, of the tower's output vector. Both towers end in the same width. Example:
    ``[256, 128]``."""
    shortcut: bool = True
    """Whether to add a linear map of the input to the output of the layers."""
    dropout: float = Field(default=0, ge=0, lt=1)
    """Dropout rate of the tower's input. 0.2 to 0.3 helps where users or items have few events; training then takes
    longer. Example: ``0.2``."""


class HistoryTowerConfig(Section):
    """How the user tower encodes the history."""

    kind: Literal["recency", "mean", "attention", "transformer"] = "recency"
    """How the history becomes one vector. recency: a weighted mean with one learned weight for each position. mean: the
    plain mean. attention: a mean whose weights also depend on the items. transformer: the state of a causal transformer
    at the most recent item."""
    features: list[str] = []
    """Item features to read beside the ids of the history's items. Example: ``[genres]``."""
    targets: int | None = Field(default=None, ge=1)
    """Number of successive positives of a user that a training step predicts from one encoded history. Encoding costs
    the same for all of them; the last of them sees so many fewer items. Default: 16 with a transformer, else 1.
    Example: ``8``."""
    query: Literal["learned", "last"] = "last"
    """attention only: what the items are compared with. learned: one vector for all users. last: the most recent
    item."""
    layers: int = Field(default=1, ge=1)
    """transformer only: number of layers. Example: ``2``."""
    heads: int = Field(default=2, ge=1)
    """transformer only: number of attention heads. They share the width of the item_id embedding equally. Example:
    ``4``."""
    hidden: int = Field(default=128, ge=1)
    """transformer only: width of the hidden layer of each feed-forward network. Example: ``256``."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """transformer only: dropout rate. Example: ``0.1``."""
    positions: Literal["distance", "window"] = "distance"
    """transformer only: how positions are encoded. distance: attention learns a weight for each distance between two
    items. window: a learned vector for each position of the history is added to the item, as in SASRec."""
    recency: bool = True
    """transformer only: whether to give the tower the recency mean as well."""


class UserTowerConfig(TowerConfig):
    """The user tower."""

    history: HistoryTowerConfig = HistoryTowerConfig()


class NegativesConfig(Section):
    """Negatives of the retriever, in addition to the other items of the batch."""

    drawn: int = Field(default=1024, ge=1)
    """mixed only: number of items drawn from the catalogue for each batch; all queries of the batch share them. Unit:
    items. Example: ``4096``."""
    popularity: float = Field(default=0.0, ge=0, le=1)
    """Items are drawn in proportion to their number of positives to the power of this. 0 draws uniformly, 1 by
    popularity. Example: ``0.75``."""
    per_query: int = Field(default=8, ge=1)
    """hard only: number of negatives that each query gets for itself. Unit: items. Example: ``16``."""
    share: float = Field(default=1.0, gt=0, le=1)
    """hard only: share of the per_query negatives that are mined; the others are drawn from the catalogue. Example:
    ``0.5``."""
    margin: float = Field(default=0.0, ge=-2, le=2)
    """hard only: the cosine of a mined item is below the positive's by more than this. With a negative value it may be
    above. The metric ``recsys_hardneg_share`` counts negatives of any sampling that come closer. Example: ``0.1``."""
    skip: int = Field(default=0, ge=0)
    """hard only: number of highest-scored items that mining leaves out, since they may be positives that nobody has
    seen yet. Unit: items. Example: ``5``."""
    refresh_steps: int = Field(default=100, ge=1)
    """hard only: the item vectors that mining searches are computed again after this many steps. Unit: steps. Example:
    ``50``."""
    memory: int = Field(default=0, ge=0)
    """Number of item vectors of past batches that serve as further negatives (cross-batch memory). Unit: items.
    Example: ``8192``."""


ValidHistory = Literal["before_valid", "at_event"]


class TwoTowerConfig(Section):
    """The retriever."""

    user_tower: UserTowerConfig = UserTowerConfig()
    item_tower: TowerConfig = TowerConfig()
    loss: Annotated[str, NameOf("loss")] = "sampled_softmax"
    """sampled_softmax: softmax with logQ correction, which takes off how often each candidate is drawn. bpr: a loss on
    pairs of a positive and a negative, with logQ correction except for a query's own negatives. softmax: without
    correction, so it learns how much more an item suits this user than others, and popular items score low. A
    registered loss works as well."""
    neg_sampling: Literal["in_batch", "hard", "mixed"] = "in_batch"
    """Where negatives come from. in_batch: the other items of the batch. mixed: also items drawn from the catalogue.
    hard: also items that each query wrongly scores high."""
    negatives: NegativesConfig = NegativesConfig()
    temperature: float = Field(default=0.1, gt=0)
    """Cosine similarities are divided by this before the loss. Example: ``0.05``."""
    learn_temperature: bool = False
    """Whether to learn the temperature with the weights, starting at ``temperature``."""
    id_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of training rows whose user is shown as one that nobody knows, without an id, a history and other features,
    so that unknown users get items that are popular in their context. Example: ``0.2``."""
    user_id_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of training rows whose user id alone is replaced by unknown, so that the towers rely on the history.
    Example: ``0.9``."""
    item_id_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of a batch's items whose id is replaced by unknown, so that items without interactions are placed by their
    other features. It hides an item in all its rows of the batch. Example: ``0.1``."""
    subsample: float = Field(default=0, ge=0)
    """Subsampling of frequent items: a positive of an item with a share f of all positives stays in an epoch with
    probability sqrt(subsample / f). Usual values are 1e-4 to 1e-2; 0 keeps all. Example: ``1e-3``."""
    linear: int = Field(default=128, ge=0)
    """Largest number of numbers that a linear part adds to the vectors of both towers: a factorization in closed form
    (SVD, iALS or EASE), which adds to the score of an item how well it goes with the history. It is kept if the
    validation part's NDCG gains from it; then it is fitted once more, with the validation part, for what is served.
    0 leaves it out. Example: ``64``."""
    neighbours: int = Field(default=100, ge=0)
    """Largest number of items for which an item of the history says something directly, beside the vectors: item-item
    weights in closed form (EASE). Where users have few events, or events without order, they hold which items go
    together better than vectors do. They are kept if the validation part's NDCG gains from them. 0 leaves them out.
    Unit: items. Example: ``200``."""
    popular: int = Field(default=500, ge=0)
    """Number of popular items that are candidates of every request, with a score for their popularity in addition. How
    much it counts, and over which time, is chosen on the validation part; it is left out if NDCG does not gain from
    it. What is served counts the validation part as well. 0 leaves it out. Unit: items. Example: ``1000``."""
    valid_history: ValidHistory = "before_valid"
    """Which history validation requests have when it is chosen what stands beside the vectors and who orders the list.
    before_valid: what the user had when the validation part began, as in a store without pushes, and as the evaluation
    measures lists. at_event: what the user had just before the event, as in a store that receives pushes; popularity
    then counts less. The two differ only where users have several positives in the validation part."""
    auto: bool = False
    """Whether to try a handful of other settings of the towers (wider item ids, dropout, nearly no user ids, another
    history) on a sample of the users before the training, and to take the best one if the validation part's NDCG gains
    from it by more than chance. Keys that are set stay as they are."""
    auto_minutes: float = Field(default=2, gt=0)
    """auto only: time within which settings are tried. One that has not ended by then does not count. Unit: minutes.
    Example: ``10``."""
    training: TrainingConfig = TrainingConfig()

    @field_validator("user_tower", mode="before")
    @classmethod
    def _any_tower(cls, value: Any) -> Any:
        """A plain ``TowerConfig`` is a user tower with the history's defaults."""
        return value.model_dump(exclude_unset=True) if type(value) is TowerConfig else value


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
    """Largest number of passes over the training data. Unit: epochs. Example: ``5``."""
    batch_size: int = Field(default=8192, ge=2)
    """Number of scored rows in a step; a positive and its negatives are several rows. Unit: rows. Example: ``1024``."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Step size of Adam. Example: ``4e-3``."""
    renew_embeddings: bool = False
    """Whether each epoch begins with new embeddings (MEDA). It prevents overfitting where ids have few events and the
    validation metric falls after one to three epochs. Try a higher learning_rate with it."""


class CrossConfig(Section):
    """The cross layers of ``dlrm_ranker.interactions: cross``."""

    layers: int = Field(default=2, ge=1)
    """Number of cross layers. Example: ``3``."""
    rank: int | None = Field(default=None, ge=1)
    """Rank of each layer's matrix, which is then a product of two smaller ones. Default: a full matrix. Example:
    ``16``."""


class RankerHistoryConfig(Section):
    """How the ranker reads the user's history."""

    kind: Literal["recency", "target_attention"] = "recency"
    """How the ranker reads the history. recency: a mean with one learned weight for each position, and the last item.
    target_attention: also, each candidate weighs the history's items for itself (deep interest network)."""
    heads: int = Field(default=1, ge=1)
    """target_attention only: number of attention heads. Example: ``2``."""
    features: list[str] = []
    """target_attention only: item features to read beside the ids of the history's items. Example: ``[genres]``."""


class LabelConfig(Section):
    """One of several labels that the ranker predicts."""

    weight: float = Field(default=1.0, gt=0)
    """Weight of this label's cross-entropy in the loss, relative to the other labels. Example: ``0.5``."""
    positive_weight: float = Field(default=1.0, gt=0)
    """How many times a positive of this label counts in the loss, see ``dlrm_ranker.positive_weight``. Example:
    ``5``."""
    serve: float = Field(default=1.0, ge=0)
    """Weight of this label's probability in the score, relative to the other labels. With 0 the label is only learned.
    Example: ``0.7``."""


class RatesConfig(Section):
    """Label rates of categories (target encoding), in addition to the dense columns. For logged impressions only."""

    features: list[str] = ["user_id", "item_id", "history"]
    """Features to encode by their label rate: categorical columns and lists of users, items or the context, and
    ``history``. The rate of a list is the mean over its entries; those of the history have the rates of the items.
    Example: ``[user_id, item_id, author_id]``."""
    smoothing: float = Field(default=10, gt=0)
    """Number of events with the overall rate that are added to each category (additive smoothing). Unit: events.
    Example: ``20``."""
    folds: int = Field(default=5, ge=2)
    """Number of folds. Training rows use rates of the other folds only (out-of-fold). Example: ``10``."""


class TransitionsConfig(Section):
    """Counts of which item followed which in the histories of the training part, as features of user and candidate."""

    last: int = Field(default=0, ge=0)
    """Number of the user's last items whose followers are looked up. 0 turns transitions off. Unit: items. Example:
    ``5``."""
    window: int = Field(default=10, ge=1)
    """A later item counts as a follower up to this many positions after; at distance d it counts 1 / d. Unit: items.
    Example: ``5``."""


class DlrmConfig(Section):
    """The ranker."""

    embedding_dims: dict[str, int] = {}
    """Feature -> width of its embedding. Example: ``{user_id: 64, item_id: 64}``."""
    default_dim: int = Field(default=16, ge=1)
    """Width of the embedding of every feature that embedding_dims does not name. Example: ``8``."""
    bottom_mlp: list[int] = Field(default=[128, 64], min_length=1)
    """Widths of the layers that the dense columns go through. With the dot interaction, each embedding is projected to
    the last of these widths. Example: ``[64, 32]``."""
    top_mlp: list[int] = Field(default=[128, 64, 1], min_length=1)
    """Widths of the layers from the interaction to the logit; the last is 1. Example: ``[256, 128, 1]``."""
    interactions: Annotated[str, NameOf("interaction")] = "dot"
    """How feature vectors meet. dot: the products of all pairs (DLRM). concat: side by side into the top network.
    cross: side by side through cross layers, then into the top network (DCN-v2). A registered interaction works as
    well."""
    cross: CrossConfig = CrossConfig()
    """cross only."""
    history: RankerHistoryConfig = RankerHistoryConfig()
    transitions: TransitionsConfig = TransitionsConfig()
    loss: Literal["bce"] = "bce"
    """Training loss. bce is binary cross-entropy."""
    positive_weight: float = Field(default=1.0, gt=0)
    """How many times a positive counts in the loss. The shift that this causes in the probability is taken off again.
    Example: ``5``."""
    labels: dict[str, LabelConfig] = {}
    """impressions only: several 0/1 labels to learn at once, each ``label`` or a column of ``data.labels``, each with a
    top network of its own. The score is the weighted mean of their probabilities. Example: ``{label: {serve: 0.7},
    long_view: {serve: 0.3}}``."""
    rates: RatesConfig = RatesConfig()
    warm_start: bool | None = None
    """Whether item embeddings start at the retriever's item vectors. Default: they do in a ranker of candidates; one of
    impressions is trained from both starts, and the better one on the validation part is kept. Example: ``true``."""
    train_on: Literal["auto", "impressions", "candidates", "both"] = "auto"
    """What the ranker learns from. impressions: the logged 0/1 labels. candidates: positives against candidates of the
    retriever. both: in each step of impressions also lists of candidates, for a log whose impressions say too little
    about the retriever's candidates. auto: impressions if the interactions have a ``label`` column, else
    candidates."""
    list_weight: float = Field(default=0.2, gt=0)
    """both only: weight of the lists' loss, in nats per list, beside that of the impressions, in nats per impression.
    Example: ``0.5``."""
    negatives: int = Field(default=16, ge=1)
    """candidates and both: number of hard negatives for each positive, drawn from the retriever's candidates. Unit:
    items. Example: ``8``."""
    random_negatives: int = Field(default=4, ge=0)
    """candidates and both: number of negatives for each positive, drawn uniformly from the catalogue. Unit: items.
    Example: ``2``."""
    explicit_negatives: int = Field(default=2, ge=0)
    """candidates and both: number of negatives for each positive, drawn from the user's interactions that are not
    positives by ``data.positive``. Unit: items. Example: ``4``."""
    max_events: int = Field(default=300_000, ge=1)
    """candidates and both: train on at most this many positives, drawn at random. Unit: positives. Example:
    ``1000000``."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout rate of the feature vectors. Example: ``0.4``."""
    id_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of training rows whose user is shown as one that nobody knows: without an id, a history and other features.
    Example: ``0.2``."""
    user_id_dropout: float | None = Field(default=None, ge=0, lt=1)
    """impressions and both: share of training rows whose user id alone is replaced by unknown. The ranker learns from
    them what the rest says of a user, as the history does of a new one. Default: the share of validation rows that are
    of users without a row in the training part, less the share of training rows that are the first of their user, at
    most 0.7. Example: ``0.3``."""
    item_id_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of training rows whose item id is replaced by unknown. Example: ``0.1``."""
    calibration: Calibration = "platt"
    """How logits become probabilities. The calibration is fitted on the validation part and is part of the served
    model. platt: logistic regression on the logit of the ranker and the cosine of the retriever. isotonic: a rising
    curve on top of that. none: the ranker's own logit, without the retriever's; nothing is fitted."""
    order_by: Literal["auto", "retriever", "dlrm", "fused"] = "auto"
    """Whose scores order the served list. retriever: the cosine of the retriever; the ranker is then left out of the
    release. dlrm: the ranker's logit. fused: a weighted sum of both. auto: what has the best ``choose_by`` on the
    validation part, and the retriever unless the ranker is better beyond chance; without a validation part, or if it
    has no positives, the retriever. Example: ``fused``."""
    choose_by: str = Field(default="ndcg@10", pattern=r"^(ndcg|recall)@[1-9][0-9]*$")
    """auto only: the metric of the list that decides ``order_by``, ``ndcg@k`` or ``recall@k``. The list is that of the
    retriever's candidates, whatever the ranker was trained on. Example: ``recall@20``."""
    refit: bool = True
    """impressions and both: whether what is served is trained once more, on the impressions of the training and the
    validation part, for as many epochs as were best. Calibration, the served order and the metrics of the training are
    those of the model before, which did not learn from the validation part."""
    training: RankerTrainingConfig = RankerTrainingConfig()

    @model_validator(mode="after")
    def _a_label_is_served(self) -> DlrmConfig:
        if self.labels and not any(label.serve for label in self.labels.values()):
            raise ValueError("labels: at least one needs a serve above 0, the score is made of those")
        return self
