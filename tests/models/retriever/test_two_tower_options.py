"""A short training of the retriever with every option; ``test_loss_grid`` has every loss and sampling."""

import numpy as np
import pytest
from stage_runs import run_stage

from cascade.models.config import (
    NegativesConfig,
    TowerConfig,
    TrainingConfig,
    TwoTowerConfig,
)
from cascade.models.retriever.stage import TWO_TOWER, load_towers
from cascade.models.retriever.training import create_weights, train
from cascade.models.retriever.two_tower import TwoTower, build
from cascade.models.training.loop import prepare
from cascade.workflows.transforms.codes import UNKNOWN_CODE

TOWER = TowerConfig(default_dim=8, mlp=[16, 8])


def config(negatives=None, **options):
    training = TrainingConfig(epochs=2, batch_size=64, learning_rate=1e-2)
    negatives = NegativesConfig(**{"drawn": 64, "per_query": 4, "refresh_steps": 10, **(negatives or {})})
    return TwoTowerConfig(user_tower=TOWER, item_tower=TOWER, training=training, negatives=negatives, **options)


@pytest.fixture(scope="module")
def everything():
    return config(
        loss="sampled_softmax",
        neg_sampling="hard",
        learn_temperature=True,
        negatives={"memory": 100, "popularity": 0.5, "share": 0.5, "margin": -0.1, "skip": 2},
    )


@pytest.fixture(scope="module")
def artifact(everything, shop, tmp_path_factory):
    return run_stage(tmp_path_factory.mktemp("runs"), TWO_TOWER, everything.model_dump_json(), shop)


@pytest.mark.slow
def test_a_learned_temperature_moves_and_comes_back_with_the_checkpoint(artifact, tensors):
    learned = artifact.metrics["temperature"]
    assert 0.01 < learned < 1 and abs(learned - 0.1) > 1e-3
    assert float(load_towers(artifact.path, tensors).temperature()) == pytest.approx(learned, rel=1e-6)


@pytest.mark.slow
def test_the_manifest_says_how_many_negatives_are_hard(artifact):
    assert 0 < artifact.metrics["recsys_hardneg_share"] < 1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_towers_with_every_option(artifact, everything, tensors, tmp_path):
    again, _ = train(tensors, everything, tmp_path)
    for first, second in zip(load_towers(artifact.path, tensors).get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "learned"), [(1 - 1e-9, False), (0.0, True)])
def test_ids_of_users_that_are_always_hidden_stay_as_they_begin(share, learned, tensors, tmp_path):
    hiding = config(user_id_dropout=share)
    prepare(hiding.training.seed)
    fresh = build(tensors.schema, hiding, tensors.items)
    create_weights(fresh, tensors)
    model, _ = train(tensors, hiding, tmp_path)
    [begun], [ended] = ([w.numpy() for w in one.weights if "user_id" in w.name] for one in (fresh, model))
    moved = np.any(begun != ended, axis=1)
    assert moved[UNKNOWN_CODE] and moved[np.asarray(tensors.users["user_id"])[:, 0]].any() == learned


@pytest.mark.parametrize("start", [0.011, 0.07, 0.99])
def test_a_learned_temperature_starts_at_the_configured_one_and_stays_within_bounds(start):
    model = TwoTower(None, None, start, learn=True)
    assert float(model.temperature()) == pytest.approx(start, rel=1e-5)
    for far in (-50.0, 50.0):
        model.trainable_variables[0].assign(far)
        assert 0.0099 < float(model.temperature()) < 1.0001
