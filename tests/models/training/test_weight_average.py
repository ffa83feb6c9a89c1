"""The exponential moving average of the weights."""

import numpy as np
import pytest

from cascade.models._merlin import tf
from cascade.models.config import TrainingConfig
from cascade.models.training.loop import fit
from cascade.models.training.optimizers import Optimizer
from cascade.models.training.step import TrainStep
from cascade.models.training.weight_average import WARM_UP, Average, steps_between_updates


class Walker(tf.Module):
    """A model of one weight, which a step increases by 1."""

    weights = ()

    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(0.0)

    @property
    def trainable_variables(self):
        return [self.weight]

    def save_weights(self, file):
        np.savetxt(file, [self.weight.numpy()])

    def load_weights(self, file):
        self.weight.assign(np.loadtxt(file))


def walk(average, steps):
    for _ in range(steps):
        average.model.weight.assign_add(1.0)
        average.step()


def test_the_first_updates_by_hand():
    """With horizon 3 each step is an update; the second keeps 2 / 11 of the average, the third 3 / 12."""
    average = Average(Walker(), horizon=3)
    walk(average, 1)
    assert average.means[0].numpy() == pytest.approx(1)
    walk(average, 1)
    second = 2 / 11 * 1 + 9 / 11 * 2
    assert average.means[0].numpy() == pytest.approx(second)
    walk(average, 1)
    assert average.means[0].numpy() == pytest.approx(3 / 12 * second + 9 / 12 * 3)


@pytest.mark.parametrize(("horizon", "steps"), [(1, 1), (3, 1), (10, 2), (24, 4), (80, 4), (122, 6), (5000, 250)])
def test_twenty_updates_per_horizon_or_four_steps_apart_but_at_least_five(horizon, steps):
    assert steps_between_updates(horizon) == steps


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [20, 200])
def test_the_average_lags_behind_a_growing_weight_by_the_horizon(horizon):
    """The mean age of the values in an exponential average is its horizon, less the steps between two updates."""
    average = Average(Walker(), horizon)
    steps = 40 * horizon
    half = steps / average.every / 2
    assert half / (half + WARM_UP) > average.keep
    walk(average, steps)
    behind = steps - average.means[0].numpy()
    assert behind == pytest.approx(horizon - average.every, rel=0.01)


@pytest.mark.slow
def test_the_average_is_less_noisy_than_the_last_step():
    rng, average = np.random.default_rng(0), Average(Walker(), 100)
    found = []
    for value in rng.normal(size=5000):
        average.model.weight.assign(value)
        average.step()
        found.append(float(average.means[0]))
    assert np.std(found[1000:]) < 0.3


def test_the_weights_come_back_after_the_average_even_on_an_error():
    average = Average(Walker(), 20)
    walk(average, 3)
    mean = average.means[0].numpy()
    with pytest.raises(KeyError), average.shown():
        assert average.model.weight.numpy() == mean
        raise KeyError
    assert average.model.weight.numpy() == 3


def test_weights_and_average_are_independent_again_after_it_was_shown():
    """They share buffers in between, which neither may write to afterwards."""
    average = Average(Walker(), 3)
    walk(average, 4)
    mean = float(average.means[0])
    with average.shown():
        average.model.weight.assign_add(1.0)
        assert float(average.means[0]) == mean
    assert float(average.model.weight) == 4
    average.means[0].assign(0.0)
    assert float(average.model.weight) == 4
    walk(average, 1)
    assert float(average.model.weight) == 5 and 0 < float(average.means[0]) < 5


def test_the_average_is_validated_and_saved(tmp_path):
    model, scores = Walker(), []

    def step(batch):
        model.weight.assign_add(1.0)
        return 0.0

    def score(of):
        scores.append(float(model.weight))
        return scores[-1]

    config = TrainingConfig(epochs=3, average=2)
    fit(
        model,
        config,
        "walker",
        20,
        lambda rng: iter(range(20)),
        TrainStep(step, Optimizer(config)),
        score,
        tmp_path / "c",
    )
    same = Average(Walker(), 40)
    for expected in scores:
        walk(same, 20)
        assert expected == pytest.approx(float(same.means[0]))
    assert float(model.weight) == pytest.approx(scores[-1]) and scores[-1] < 60
