"""Trainings that compute activations again: the same losses and weights, in less memory."""

import itertools

import numpy as np
import pytest

from cascade.models import ranker_training, two_tower_training
from cascade.models.backend import mm, tf
from cascade.models.config import DlrmConfig, RankerTrainingConfig, TowerConfig, TrainingConfig, TwoTowerConfig
from cascade.models.ranker_data import ImpressionRows
from cascade.models.recompute import Recomputed

TOWER = TowerConfig(default_dim=8, mlp=[16, 8])


def by_order(model):
    """All weights; their names tell where they are, which differs."""
    return [variable.numpy() for variable in model.trainable_variables]


def assert_same(plain, again):
    assert [len(found.losses) for _, found in (plain, again)] == [2, 2]
    np.testing.assert_allclose(again[1].losses, plain[1].losses, atol=1e-6)
    assert again[1].score == pytest.approx(plain[1].score, abs=1e-6)
    for one, other in zip(by_order(plain[0]), by_order(again[0]), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_retriever_learns_the_same(tensors, tmp_path, precision):
    def run(recompute):
        training = TrainingConfig(epochs=2, batch_size=64, recompute=recompute, precision=precision)
        config = TwoTowerConfig(user_tower=TOWER, item_tower=TOWER, id_dropout=0.3, training=training)
        return two_tower_training.train(tensors, config, tmp_path / str(recompute))

    assert_same(run(False), run(True))


@pytest.fixture(scope="module")
def impressions(tmp_path_factory):
    from model_shop import make_shop

    from cascade.workflows.tensors import Tensors

    return Tensors.load(make_shop(tmp_path_factory.mktemp("impressions"), users=60, label=True)["etl"].path)


@pytest.mark.parametrize(
    ("interactions", "optimizer"), list(itertools.product(["dot", "concat", "cross"], ["adam", "lazy_adam"]))
)
def test_the_ranker_learns_the_same_with_dropout(impressions, tmp_path, interactions, optimizer):
    def run(recompute):
        training = RankerTrainingConfig(
            epochs=2, batch_size=64, recompute=recompute, embedding_optimizer=optimizer, embedding_l2=1e-4, clip_norm=1
        )
        options = {"bottom_mlp": [16, 8], "top_mlp": [16, 1], "dropout": 0.3, "id_dropout": 0.3}
        config = DlrmConfig(default_dim=8, interactions=interactions, training=training, **options)
        rows = ImpressionRows(impressions, config)
        return ranker_training.train(impressions, rows, config, tmp_path / str(recompute))[:2]

    assert_same(run(False), run(True))


def test_a_block_runs_again_for_its_gradient():
    """Eagerly: once forward, once more backward; outside of training never more than once."""
    calls = []

    class Counted(tf.keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight("scale", shape=(), initializer="ones")

        def call(self, values):
            calls.append(1)
            return self.scale * values**2

    layer, values = Recomputed(Counted()), tf.constant([3.0])
    layer(values)
    for training, expected in ((False, 1), (True, 2)):
        calls.clear()
        with tf.GradientTape() as tape:
            tape.watch(values)
            found = layer(values, training=training)
        gradients = tape.gradient(found, [values, layer.block.scale])
        assert [float(g) for g in gradients] == [6.0, 9.0]
        assert len(calls) == expected


def test_it_is_where_the_config_asks_for_it(tensors):
    from cascade.models.two_tower import build

    for recompute, kind in ((False, mm.SequentialBlock), (True, Recomputed)):
        training = TrainingConfig(recompute=recompute)
        model = build(tensors.schema, TwoTowerConfig(user_tower=TOWER, item_tower=TOWER, training=training))
        found = [part for part in model.query.submodules if isinstance(part, kind)]
        assert found
