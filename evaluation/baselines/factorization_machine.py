"""A factorization machine for 0/1 labels of logged impressions (Rendle, "Factorization machines", 2010).

It has the ranker's features and embedding layers. A list feature is the mean of its entries' embeddings.
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
"""Number of factors of each feature. It and ``TRAINING`` were chosen on KuaiRand's validation part."""
TRAINING = TrainingConfig(epochs=15, batch_size=2048, learning_rate=2e-3, patience=2, embedding_l2=1e-3)
ID_DROPOUT = 0.1
"""Share of training rows whose user id is replaced by the unknown id, so that its embedding is trained as well."""
SCORED_ROWS = 65536
"""Rows scored at once."""

Label = NDArray[np.float32]
"""0 or 1, [n]."""


class FactorizationMachine(tf.keras.Model):
    """Maps features [n, L] of users, contexts and items to logits float32 [n].

    logit = b + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j. The second sum is computed as
    (|sum_i v_i x_i|^2 - sum_i |v_i x_i|^2) / 2. The first number of a feature's embedding is ``w_i``, the rest ``v_i``.
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
        square_of_sum = tf.square(tf.reduce_sum(factors, axis=-2))
        sum_of_squares = tf.reduce_sum(tf.square(factors), axis=-2)
        pairs = tf.reduce_sum(square_of_sum - sum_of_squares, axis=-1) / 2
        return self.bias + tf.reduce_sum(weights, axis=[-2, -1]) + pairs

    def step_size(self, rows: int, others: int) -> StepSize:
        """The numbers that a training step on ``rows`` rows holds in memory; ``others`` does not change it."""
        return StepSize(rows * row_numbers(self))


def factorization_logits(
    tensors: Tensors, train: tuple[Events, Label], valid: tuple[Events, Label], others: Sequence[Events]
) -> list[NDArray[np.float32]]:
    """Train on ``train`` with early stopping on the AUC of ``valid``: logits float32 [n] of each of ``others``."""
    prepare(TRAINING.seed)
    lookup = Lookup(tensors)
    model = FactorizationMachine([*tensors.schema.side("user", "context"), *tensors.schema.side("item")], WIDTH)
    (events, label), (valid_events, valid_label) = train, valid
    size = min(TRAINING.batch_size, len(events))

    def batches(rng: np.random.Generator) -> Iterable[Mapping[str, Any]]:
        for at in shuffled(len(events), size, rng):
            some = events.take(at)
            yield {**some.queries(), "items": some.item_row, "label": label[at]}

    def score(of: str) -> float:
        found = metrics.auc(score_events(model, lookup, valid_events), valid_label > 0, of)
        assert found is not None, "`impressions.unfit` checks that both labels occur"
        return found

    with TemporaryDirectory() as folder:
        step, steps = make_step(model, lookup), len(events) // size
        fit(model, TRAINING, "factorization machine", steps, batches, step, score, Path(folder) / "checkpoint")
    return [score_events(model, lookup, some) for some in others]


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
    """The features [n, L] of a batch.

    Args:
        batch: the columns of `Events.queries`, and item rows [n] as ``items``.
    """
    users = lookup.users({name: values for name, values in batch.items() if name != "items"})
    return users | lookup.items(batch["items"])


def score_events(model: FactorizationMachine, lookup: Lookup, events: Events) -> NDArray[np.float32]:
    """Logits [n]."""
    found = [np.zeros(0, np.float32)]
    for at in range(0, len(events), SCORED_ROWS):
        some = events.take(np.arange(at, min(at + SCORED_ROWS, len(events))))
        found.append(model(columns_of(lookup, {**some.queries(), "items": some.item_row})).numpy())
    return np.concatenate(found)
