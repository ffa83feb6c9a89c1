"""The progress bar, and the curves as read from the files for TensorBoard."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from cascade.models._merlin import tf
from cascade.models.config import TrainingConfig
from cascade.models.training.checkpoints import CheckpointState
from cascade.models.training.optimizers import Optimizer
from cascade.models.training.progress import EVERY, TrainingProgress, announce


def points(folder):
    """(name, step) -> value."""
    from tensorflow.core.util import event_pb2

    found = {}
    for file in folder.iterdir():
        for record in tf.data.TFRecordDataset(str(file)):
            event = event_pb2.Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    return found


def watched(folder, **options):
    config = TrainingConfig(epochs=2, batch_size=10, learning_rate=0.5, **options)
    at = CheckpointState(np.random.default_rng(0).bit_generator.state)
    with TrainingProgress("counter", config, EVERY, at, folder, score_name="NDCG") as progress:
        optimizer = Optimizer(config)
        for _ in range(EVERY):
            at.step, at.total = at.step + 1, at.total + 2.0
            progress.step(2.0, optimizer)
        at.end_epoch(0.25, at.rng)
        progress.epoch(at, validated=True)
    return progress


def test_curves(tmp_path):
    watched(tmp_path, tensorboard=True)
    found = points(tmp_path / "counter")
    assert found.pop(("rows_per_s", EVERY)) > 0
    assert found == pytest.approx(
        {("loss", EVERY): 2.0, ("learning_rate", EVERY): 0.5, ("epoch_loss", EVERY): 2.0, ("valid", EVERY): 0.25}
    )


def test_by_default_nothing_is_written(tmp_path):
    watched(tmp_path)
    assert not list(tmp_path.iterdir())


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_counts_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    watched(tmp_path)
    shown = sys.stderr.getvalue()
    assert "counter:  50%" in shown and "1.00k/2.00k" in shown and "rows/s" in shown
    assert "epoch 1, loss 2.0000, validation NDCG 0.2500" in shown


def test_without_a_terminal_each_epoch_is_a_line(tmp_path, monkeypatch, caplog):
    clock = iter([100.0, 130.0])
    monkeypatch.setattr("cascade.models.training.progress.time.monotonic", lambda: next(clock))
    with caplog.at_level("INFO", "cascade"):
        watched(tmp_path)
    shown = "loss 2.0000, validation NDCG 0.2500, 30.0 s an epoch, at most 30 s of epochs left"
    assert caplog.messages == [f"counter: epoch 1 of at most 2, {shown}"]


def test_the_rest_of_a_resumed_training_is_judged_by_what_it_did_itself(tmp_path, monkeypatch, caplog):
    clock = iter([0.0, 10.0])
    monkeypatch.setattr("cascade.models.training.progress.time.monotonic", lambda: next(clock))
    at = CheckpointState(np.random.default_rng(0).bit_generator.state, epoch=2, step=EVERY // 2)
    config = TrainingConfig(epochs=4, batch_size=10)
    with caplog.at_level("INFO", "cascade"), TrainingProgress("counter", config, EVERY, at, tmp_path) as progress:
        at.step, at.total = EVERY, 2.0 * EVERY
        at.end_epoch(0.25, at.rng)
        progress.epoch(at, validated=False)
    assert caplog.messages[0].endswith(
        "epoch 2 of at most 4, loss 2.0000, 20.0 s an epoch, at most 40 s of epochs left"
    )


@pytest.mark.parametrize("shown", [True, False])
def test_only_the_chief_tells(shown, tmp_path, caplog):
    at = CheckpointState(np.random.default_rng(0).bit_generator.state)
    config = TrainingConfig(epochs=2, batch_size=10)
    with caplog.at_level("INFO", "cascade"), TrainingProgress("a", config, 1, at, tmp_path, shown=shown) as progress:
        at.step, at.total = 1, 2.0
        at.end_epoch(0.25, at.rng)
        progress.epoch(at, validated=True)
    assert len(caplog.messages) == shown


def test_a_resumed_training_begins_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    at = CheckpointState({}, epoch=2, step=50)
    with TrainingProgress("counter", TrainingConfig(epochs=2, batch_size=10), EVERY, at, tmp_path) as progress:
        assert progress.steps == EVERY + 50
    assert "counter:  75%" in sys.stderr.getvalue()


@pytest.mark.parametrize("chief", [True, False])
def test_a_part_without_epochs_is_announced_by_the_chief(chief, monkeypatch, caplog):
    monkeypatch.setattr("cascade.models.training.progress.worker_group", lambda: SimpleNamespace(chief=chief))
    with caplog.at_level("INFO", "cascade"):
        announce("counter", "counting once more")
    assert caplog.messages == ["counter: counting once more"] * chief
