"""Subsampling of popular items, by hand and over many epochs."""

import numpy as np
import pytest

from cascade.core.errors import ConfigError
from cascade.models.config import (
    NegativesConfig,
    TowerConfig,
    TrainingConfig,
    TwoTowerConfig,
)
from cascade.models.retriever.negatives import Catalogue, log_expected
from cascade.models.retriever.subsampling import SampledPositives, keep_probability
from cascade.models.retriever.training import train
from cascade.models.training.loop import shuffled

COUNTS = np.array([640, 160, 160, 40, 0])
ROWS = np.repeat(np.arange(5), COUNTS).astype(np.int32)
KEPT = np.array([160, 80, 80, 40, 0])
"""Of 1,000 with t = 0.04: shares .64, .16, .16 and .04 stay with sqrt(t / f) = 1/4, 1/2, 1/2 and 1."""


def test_probabilities():
    np.testing.assert_allclose(keep_probability(COUNTS, 0.04), [0.25, 0.5, 0.5, 1, 1])
    assert keep_probability(COUNTS, 0.0).tolist() == [1] * 5
    np.testing.assert_allclose(SampledPositives(ROWS, COUNTS, 0.04).counts, KEPT)


def test_each_event_stays_with_its_probability():
    """Over 4,000 epochs; within five standard deviations of a binomial."""
    positives, rng, epochs = SampledPositives(ROWS, COUNTS, 0.04), np.random.default_rng(0), 4000
    assert positives.size == 359
    found = np.zeros(len(ROWS))
    for _ in range(epochs):
        [batch] = positives.batches(positives.size, rng)
        assert len(np.unique(batch)) == 359
        found[batch] += 1
    chance = keep_probability(COUNTS, 0.04)[ROWS] * 359 / 360
    deviation = np.sqrt(chance * (1 - chance) / epochs)
    assert (np.abs(found / epochs - chance) <= 5 * deviation).all()


def test_epochs_have_the_same_number_of_batches_and_other_events():
    positives, rng = SampledPositives(ROWS, COUNTS, 0.04), np.random.default_rng(0)
    first, second = (np.array(list(positives.batches(50, rng))) for _ in range(2))
    assert first.shape == second.shape == (7, 50)
    assert set(first.ravel()) != set(second.ravel())
    again = np.array(list(positives.batches(50, np.random.default_rng(0))))
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("threshold", [0.0, 0.64])
def test_without_it_an_epoch_is_as_ever(threshold):
    positives = SampledPositives(ROWS, COUNTS, threshold)
    got = list(positives.batches(64, np.random.default_rng(3)))
    np.testing.assert_array_equal(got, list(shuffled(len(ROWS), 64, np.random.default_rng(3))))
    assert positives.size == 1000


def test_corrections_count_what_stays():
    catalogue = Catalogue(COUNTS, 0.0)
    in_batch = log_expected(TwoTowerConfig(), SampledPositives(ROWS, COUNTS, 0.04).counts, catalogue, 100)
    np.testing.assert_allclose(in_batch, np.log(np.maximum(KEPT, 1) / 360), rtol=1e-6)
    mixed = TwoTowerConfig(neg_sampling="mixed", negatives=NegativesConfig(drawn=50))
    found = log_expected(mixed, SampledPositives(ROWS, COUNTS, 0.04).counts, catalogue, 100)
    np.testing.assert_allclose(found, np.log(KEPT / 360 + 0.2 * 0.5), rtol=1e-6)


def test_too_little_left():
    with pytest.raises(ConfigError, match="two_tower.subsample: 1e-07 keeps 0 of 1000 positives an epoch; raise it"):
        SampledPositives(ROWS, COUNTS, 1e-7)


@pytest.mark.slow
def test_a_training(tensors, tmp_path):
    """It learns with fewer steps; the validation part is not subsampled."""
    tower = TowerConfig(default_dim=8, mlp=[16, 8])
    training = TrainingConfig(epochs=4, batch_size=64, learning_rate=1e-2)
    config = TwoTowerConfig(user_tower=tower, item_tower=tower, training=training, subsample=0.01)
    _, found = train(tensors, config, tmp_path)
    assert np.isfinite(found.losses).all() and found.losses[-1] < found.losses[0]
