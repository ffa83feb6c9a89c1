"""Config sections of the models: two_tower, dlrm_ranker."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..core.section import Section

Calibration = Literal["platt", "isotonic", "none"]


class TrainingConfig(Section):
    """How one model is trained."""

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(1024, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    patience: int = Field(3, ge=1)
    """Epochs without a better validation metric after which training stops; the best epoch is kept."""
    seed: int = 42
    checkpoint_minutes: float = Field(5, ge=0)
    """Minutes between checkpoints, from which a killed run goes on; 0 makes them at the end of each epoch alone."""
    clip_norm: float = Field(0, ge=0)
    """Largest L2 norm of a step's gradients together; larger ones are scaled down to it; 0 clips nothing."""
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients are averaged for one step of the optimizer; see ``accumulation``."""
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    """What the dense layers compute in; embeddings, interactions and losses are fp32 always."""
    embedding_optimizer: Literal["adam", "lazy_adam"] = "adam"
    """adam moves every row of a table at every step, lazy_adam only those of the batch: much faster on large tables,
    but rare rows learn more slowly, because Adam goes on moving a row for some steps after a batch has it."""
    embedding_l2: float = Field(0, ge=0)
    """Weight of the squared norms of the embeddings that a batch touches."""
    warmup_steps: int = Field(0, ge=0)
    """Steps of the optimizer during which the learning rate rises from 0."""
    decay_steps: int = Field(0, ge=0)
    """Steps of the optimizer after the warm-up during which the learning rate falls to 0 as a cosine; 0: it stays."""
    tensorboard: bool = False
    """Write logs for TensorBoard to ``<run folder>.logs``."""


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


class DlrmConfig(Section):
    """The ranker."""

    embedding_dims: dict[str, int] = {}
    default_dim: int = Field(16, ge=1)
    bottom_mlp: list[int] = Field([128, 64], min_length=1)
    top_mlp: list[int] = Field([128, 64, 1], min_length=1)
    interactions: Literal["dot", "concat", "cross"] = "dot"
    loss: Literal["bce"] = "bce"
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
    calibration: Calibration = "platt"
    """How logits become probabilities; fitted on the validation part, exported into the served model. platt: weights of
    the ranker and the retriever and a bias, by logistic regression. isotonic: a rising curve on top of that. none:
    the DLRM's own logit as it was trained, without the retriever's part; nothing is fitted."""
    training: RankerTrainingConfig = RankerTrainingConfig()
