"""The training loop, on a model that only counts its steps."""

import numpy as np
import pytest

from cascade.models._merlin import tf
from cascade.models.config import TrainingConfig
from cascade.models.training.loop import WEIGHTS, fit, shuffled
from cascade.models.training.optimizers import Optimizer
from cascade.models.training.step import TrainStep, traced_once


class Counter(tf.Module):
    """Its weights are the number of steps taken."""

    weights = ()

    def __init__(self):
        super().__init__()
        self.steps = 0

    def save_weights(self, file):
        with open(file, "w") as stream:
            stream.write(str(self.steps))

    def load_weights(self, file):
        with open(file) as stream:
            self.steps = int(stream.read())


def run(tmp_path, scores, epochs=6, patience=2, **training):
    model = Counter()

    def step(batch):
        model.steps += 1
        return float(batch)

    config, left = TrainingConfig(epochs=epochs, patience=patience, **training), iter(scores or ())
    found = fit(
        model,
        config,
        "counter",
        2,
        lambda rng: iter((1.0, 2.0)),
        TrainStep(step, Optimizer(config)),
        (lambda of: next(left)) if scores else None,
        tmp_path / "checkpoint",
    )
    return model, found


def test_stops_after_patience_and_restores_the_best_epoch(tmp_path):
    model, found = run(tmp_path, [0.1, 0.4, 0.3, 0.2, 0.9])
    assert (found.epochs, found.best_epoch, found.score) == (4, 2, 0.4)
    assert model.steps == 4 and (tmp_path / "checkpoint" / WEIGHTS).read_text() == "4"
    assert found.losses == [1.5] * 4
    assert [p.name for p in (tmp_path / "checkpoint").iterdir()] == [WEIGHTS]


def test_runs_all_epochs_while_the_score_improves(tmp_path):
    model, found = run(tmp_path, [0.1, 0.2, 0.3], epochs=3)
    assert (found.best_epoch, model.steps) == (3, 6)


@pytest.mark.parametrize(
    ("min_delta", "epochs", "best"),
    [(0.1, 3, 3), (0.05, 5, 5), (0, 6, 6)],
)
def test_a_small_gain_is_kept_but_not_waited_for(min_delta, epochs, best, tmp_path):
    """With 0.1 the second and the third epoch are both within a tenth of the first; the third is the best of them."""
    _, found = run(tmp_path, [0.5, 0.51, 0.54, 0.55, 0.56, 0.57], min_delta=min_delta)
    assert (found.epochs, found.best_epoch) == (epochs, best)


def test_many_epochs_without_a_score_are_all_run(tmp_path):
    assert run(tmp_path, None, epochs=30, min_delta=0.5)[1].best_epoch == 30


def test_without_a_score_the_last_epoch_counts_and_a_notice_is_added(tmp_path):
    model, found = run(tmp_path, None, epochs=3)
    assert (found.best_epoch, found.score, model.steps) == (3, None, 6)
    assert found.metrics("ndcg")["notices"] == ["no validation part: trained for all 3 epochs"]


def test_a_score_that_is_no_number_is_an_error(tmp_path):
    with pytest.raises(FloatingPointError, match="counter: the validation score is nan"):
        run(tmp_path, [float("nan")] * 6)


def test_batches_are_full_and_never_repeat_a_row():
    batches = list(shuffled(10, 4, np.random.default_rng(0)))
    assert [len(b) for b in batches] == [4, 4] and len(set(np.concatenate(batches))) == 8
    assert [sorted(b) for b in shuffled(3, 8, np.random.default_rng(0))] == [[0, 1, 2]]


def test_a_compiled_step_gets_tensors():
    """It would convert anything else slowly."""
    got = traced_once(lambda batch: batch)({"rows": np.arange(3, dtype=np.int32), "label": tf.ones(3)})
    assert all(tf.is_tensor(values) for values in got.values()) and got["rows"].dtype == tf.int32
