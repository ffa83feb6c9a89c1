"""The progress bar, and the curves as read from the files for TensorBoard."""

import io
import sys

import numpy as np
import pytest

from cascade.models._merlin import tf
from cascade.models.config import TrainingConfig
from cascade.models.training.checkpoints import CheckpointState
from cascade.models.training.optimizers import Optimizer
from cascade.models.training.progress import EVERY, TrainingProgress


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
    with TrainingProgress("counter", config, EVERY, at, folder) as progress:
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
    assert "epoch 1, loss 2.0000, valid 0.2500" in shown


def test_a_resumed_training_begins_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    at = CheckpointState({}, epoch=2, step=50)
    with TrainingProgress("counter", TrainingConfig(epochs=2, batch_size=10), EVERY, at, tmp_path) as progress:
        assert progress.steps == EVERY + 50
    assert "counter:  75%" in sys.stderr.getvalue()
