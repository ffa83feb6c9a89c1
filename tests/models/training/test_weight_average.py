"""The moving average of weights."""

import numpy as np
import pytest

from cascade.models._merlin import tf
from cascade.models.config import TrainingConfig
from cascade.models.training.loop import fit
from cascade.models.training.optimizers import Optimizer
from cascade.models.training.step import TrainStep
from cascade.models.training.weight_average import WARM_UP, Average, steps_between_updates


class Walker(tf.Module):
    """One weight, which a step raises by 1; its file holds it."""

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


def test_the_first_moves_by_hand():
    """After steps 1, 2, 3 of horizon 3, so a move each: means 1 (as it began), 2 - 2/11, and so on."""
    average = Average(Walker(), horizon=3)
    walk(average, 1)
    assert average.means[0].numpy() == pytest.approx(1)
    walk(average, 1)
    second = 2 / 11 * 1 + 9 / 11 * 2
    assert average.means[0].numpy() == pytest.approx(second)
    walk(average, 1)
    assert average.means[0].numpy() == pytest.approx(3 / 12 * second + 9 / 12 * 3)


@pytest.mark.parametrize(("horizon", "steps"), [(1, 1), (3, 1), (10, 2), (24, 4), (80, 4), (122, 6), (5000, 250)])
def test_twenty_moves_a_horizon_or_four_steps_between_but_five_moves_at_least(horizon, steps):
    assert steps_between_updates(horizon) == steps


@pytest.mark.parametrize("horizon", [20, 200])
def test_a_weight_that_walks_is_followed_at_the_horizon(horizon):
    """The mean age of what is in an exponential average is its horizon, here less half of the steps between moves."""
    average = Average(Walker(), horizon)
    steps = 40 * horizon
    half = steps / average.every / 2
    assert half / (half + WARM_UP) > average.keep
    walk(average, steps)
    behind = steps - average.means[0].numpy()
    assert behind == pytest.approx(horizon - average.every, rel=0.01)


def test_less_noise_than_the_last_step():
    rng, average = np.random.default_rng(0), Average(Walker(), 100)
    found = []
    for value in rng.normal(size=5000):
        average.model.weight.assign(value)
        average.step()
        found.append(float(average.means[0]))
    assert np.std(found[1000:]) < 0.3


def test_shown_for_a_while_and_taken_back_whatever_happens():
    average = Average(Walker(), 20)
    walk(average, 3)
    mean = average.means[0].numpy()
    with pytest.raises(KeyError), average.shown():
        assert average.model.weight.numpy() == mean
        raise KeyError
    assert average.model.weight.numpy() == 3


def test_weights_and_average_part_again_after_it_was_shown():
    """They share memory meanwhile, which neither may go on writing to."""
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


def test_a_training_is_judged_by_it_and_leaves_it_behind(tmp_path):
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
