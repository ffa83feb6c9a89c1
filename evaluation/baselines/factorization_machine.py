"""A factorization machine for 0/1 labels: what the ranker is compared with where impressions are logged.

Rendle, "Factorization machines", 2010. Its features are the ranker's own and pass through the same embedding layers; a
list counts as the mean of its entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.features import Feature
from ...models import metrics
from ...models._merlin import tf
from ...models.config import TrainingConfig
from ...models.layers.feature_gather import Lookup
from ...models.layers.feature_vectors import FeatureVectors, continuous, embedding_tables
from ...models.layers.schema import vocabulary
from ...models.layers.step_size import row_numbers
from ...models.training.loop import fit, prepare, shuffled
from ...models.training.memory_estimate import StepSize
from ...models.training.optimizers import Optimizer
from ...models.training.random_state import uniform
from ...models.training.rows import Events
from ...models.training.step import TrainStep
from ...workflows.transforms.codes import UNKNOWN_CODE

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors

WIDTH = 8
"""Factors of each feature. This and ``TRAINING`` were chosen on KuaiRand's validation part."""
TRAINING = TrainingConfig(epochs=15, batch_size=2048, learning_rate=2e-3, patience=2, embedding_l2=1e-3)
ID_DROPOUT = 0.1
"""Share of training rows whose user is shown as new, so that the id of a new user has learned something too."""
SCORED_ROWS = 65536

Label = NDArray[np.float32]
"""0 or 1, [n]."""


class FactorizationMachine(tf.keras.Model):
    """Features [n, L] of users, contexts and items -> logits float32 [n].

    b + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j, whose second sum is half of |sum_i v_i x_i|^2 - sum_i |v_i x_i|^2.
    ``w_i`` is the first number of a feature's vector.
    """

    def __init__(self, features: Sequence[Feature], width: int) -> None:
        super().__init__()
        self.features = tuple(features)
        dims = {vocabulary(f): width + 1 for f in features}
        self.vectors = FeatureVectors(features, embedding_tables(features, dims))
        numbers = sum(f.kind == "continuous" for f in features)
        self.bias = self.add_weight("bias", shape=(), initializer="zeros")
        self.numbers = self.add_weight("numbers", shape=(numbers, width + 1), initializer="zeros") if numbers else None

    def call(self, columns: Mapping[str, Any]) -> Any:
        rows = [*self.vectors(columns).values()]
        if (numbers := continuous(self.features, columns)) is not None:
            rows.append(numbers[..., None] * self.numbers)
        weights, factors = tf.split(tf.concat(rows, axis=-2), [1, -1], axis=-1)
        together, alone = tf.square(tf.reduce_sum(factors, axis=-2)), tf.reduce_sum(tf.square(factors), axis=-2)
        return self.bias + tf.reduce_sum(weights, axis=[-2, -1]) + tf.reduce_sum(together - alone, axis=-1) / 2

    def step_size(self, rows: int, others: int) -> StepSize:
        """Numbers of a training step on ``rows`` rows; they are not compared with ``others``."""
        return StepSize(rows * row_numbers(self))


def factorization_logits(
    tensors: Tensors, train: tuple[Events, Label], valid: tuple[Events, Label], asked: Sequence[Events]
) -> list[NDArray[np.float32]]:
    """Train on ``train``, stop on the AUC of ``valid``, and give the logits float32 [n] of each of ``asked``."""
    prepare(TRAINING.seed)
    lookup = Lookup(tensors)
    model = FactorizationMachine([*tensors.schema.side("user", "context"), *tensors.schema.side("item")], WIDTH)
    (events, label), (judged, happened) = train, valid
    size = min(TRAINING.batch_size, len(events))

    def batches(rng: np.random.Generator) -> Iterable[Mapping[str, Any]]:
        for at in shuffled(len(events), size, rng):
            some = events.take(at)
            yield {**some.queries(), "items": some.item_row, "label": label[at]}

    def score(of: str) -> float:
        found = metrics.auc(score_events(model, lookup, judged), happened > 0, of)
        assert found is not None, "`impressions.unfit` checks that both labels are there"
        return found

    with TemporaryDirectory() as folder:
        step, steps = make_step(model, lookup), len(events) // size
        fit(model, TRAINING, "factorization machine", steps, batches, step, score, Path(folder) / "checkpoint")
    return [score_events(model, lookup, some) for some in asked]


def make_step(model: FactorizationMachine, lookup: Lookup) -> TrainStep:
    """A compiled training step: batch -> mean cross-entropy (nats)."""
    optimizer = Optimizer(TRAINING)

    @tf.function(reduce_retracing=True)
    def step(batch: Mapping[str, Any]) -> Any:
        columns = columns_of(lookup, {name: values for name, values in batch.items() if name != "label"})
        hidden = uniform(tf.shape(batch["label"]))[:, None] < ID_DROPOUT
        columns["user_id"] = tf.where(hidden, UNKNOWN_CODE, columns["user_id"])
        with tf.GradientTape() as tape:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(batch["label"], model(columns))
            found = tf.reduce_mean(losses)
        optimizer.minimize(tape, found, model.trainable_variables)
        return found

    return TrainStep(step, optimizer)


def columns_of(lookup: Lookup, batch: Mapping[str, Any]) -> dict[str, Any]:
    """Features [n, L] of a batch: what `Events.queries` gives, and item rows [n] as ``items``."""
    users = lookup.users({name: values for name, values in batch.items() if name != "items"})
    return users | lookup.items(batch["items"])


def score_events(model: FactorizationMachine, lookup: Lookup, events: Events) -> NDArray[np.float32]:
    """Logits [n]."""
    found = [np.zeros(0, np.float32)]
    for at in range(0, len(events), SCORED_ROWS):
        some = events.take(np.arange(at, min(at + SCORED_ROWS, len(events))))
        found.append(model(columns_of(lookup, {**some.queries(), "items": some.item_row})).numpy())
    return np.concatenate(found)
