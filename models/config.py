"""Config sections of the models: two_tower, dlrm_ranker."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..core.section import Section


class TrainingConfig(Section):
    """How one model is trained."""

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(1024, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    patience: int = Field(3, ge=1)
    """Epochs without a better validation metric after which training stops; the best epoch is kept."""
    seed: int = 42


class TowerConfig(Section):
    """One tower: embedding width by feature and the widths of its layers."""

    emb_dims: dict[str, int] = {}
    """A feature that is not named gets ``default_dim``."""
    default_dim: int = Field(16, ge=1)
    mlp: list[int] = Field([128, 64], min_length=1)


class TwoTowerConfig(Section):
    """The retriever."""

    user_tower: TowerConfig = TowerConfig()
    item_tower: TowerConfig = TowerConfig()
    loss: Literal["bpr", "softmax", "sampled_softmax"] = "sampled_softmax"
    """sampled_softmax is in-batch softmax with logQ correction."""
    neg_sampling: Literal["in_batch", "hard", "mixed"] = "in_batch"
    temperature: float = Field(0.1, gt=0)
    """What cosine similarities are divided by before the softmax."""
    id_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of training rows whose user is shown as unknown, so that unknown users get popular items."""
    training: TrainingConfig = TrainingConfig()


class RankerTrainingConfig(TrainingConfig):
    """How the ranker is trained."""

    epochs: int = Field(10, ge=1)
    batch_size: int = Field(8192, ge=2)
    """Scored rows: a positive and its negatives are several."""
    learning_rate: float = Field(2e-3, gt=0)
    patience: int = Field(2, ge=1)


class CrossConfig(Section):
    """The cross layers of ``dlrm_ranker.interactions: cross``."""

    layers: int = Field(2, ge=1)
    rank: int | None = Field(None, ge=1)
    """Each layer's matrix is a product of two of this rank; null: a full matrix."""


class LabelConfig(Section):
    """One of several labels that the ranker predicts."""

    weight: float = Field(1.0, gt=0)
    """Of its cross-entropy in training, beside the other labels'."""
    positive_weight: float = Field(1.0, gt=0)
    """See ``dlrm_ranker.positive_weight``."""
    serve: float = Field(1.0, ge=0)
    """Of its probability in the score, beside the other labels'; the weights are normalized. 0: only learned with."""


class DlrmConfig(Section):
    """The ranker."""

    embedding_dims: dict[str, int] = {}
    default_dim: int = Field(16, ge=1)
    bottom_mlp: list[int] = Field([128, 64], min_length=1)
    top_mlp: list[int] = Field([128, 64, 1], min_length=1)
    interactions: Literal["dot", "concat", "cross"] = "dot"
    """How vectors meet. dot: every two in a product (DLRM). concat: side by side into the top network. cross: side by
    side through cross layers (DCN-v2), the top network on what comes out."""
    cross: CrossConfig = CrossConfig()
    """cross only."""
    loss: Literal["bce"] = "bce"
    positive_weight: float = Field(1.0, gt=0)
    """How many times a positive counts in the loss. It makes rare positives weigh more; the shift of the probability
    that comes with it is taken off again."""
    labels: dict[str, LabelConfig] = {}
    """Impressions only: several 0/1 labels to learn at once, ``label`` or columns named in ``data.labels``, each with a
    top network of its own. Served is the weighted mean of their probabilities."""
    train_on: Literal["auto", "impressions", "candidates"] = "auto"
    """auto: impressions where interactions have a 0/1 ``label`` column, else the retriever's candidates."""
    negatives: int = Field(16, ge=1)
    """candidates only: hard negatives drawn for each positive from the retriever's candidates."""
    random_negatives: int = Field(4, ge=0)
    """candidates only: negatives drawn for each positive uniformly from the catalogue."""
    explicit_negatives: int = Field(2, ge=0)
    """candidates only: negatives drawn for each positive from what its user had and did not like, if ``data.positive``
    tells."""
    max_events: int = Field(300_000, ge=1)
    """candidates only: train on at most that many positives, drawn at random."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of the feature vectors' numbers that a training step leaves out."""
    id_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of training rows whose user is shown as unknown."""
    training: RankerTrainingConfig = RankerTrainingConfig()

    @model_validator(mode="after")
    def _a_label_is_served(self) -> DlrmConfig:
        if self.labels and not any(label.serve for label in self.labels.values()):
            raise ValueError("labels: at least one needs a serve above 0, the score is made of those")
        return self
