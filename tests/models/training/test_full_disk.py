"""Weights and checkpoints on a full disk: an error before HDF5 begins, and nothing half-written."""

import pytest

from cascade.core.errors import DiskError
from cascade.models._merlin import tf
from cascade.models.training import loop
from cascade.models.training.checkpoints import replace


def test_a_file_that_cannot_be_written_leaves_the_old_one_alone(tmp_path):
    file = tmp_path / "state.npz"
    file.write_text("old")

    def fails(aside):
        aside.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        replace(file, fails)
    assert [found.name for found in tmp_path.iterdir()] == ["state.npz"] and file.read_text() == "old"


def test_the_space_of_weights_is_checked_before_hdf5_writes(tmp_path, monkeypatch):
    model = tf.keras.Sequential([tf.keras.layers.Dense(100, input_shape=(50,)), tf.keras.layers.Dense(3)])
    asked = []
    monkeypatch.setattr(loop, "check_space", lambda file, need: asked.append(need))
    loop.save_weights(model, tmp_path)
    assert (tmp_path / loop.WEIGHTS).stat().st_size <= asked[0]

    def full(file, need):
        raise DiskError(f"{file}: needs more")

    monkeypatch.setattr(loop, "check_space", full)
    with pytest.raises(DiskError, match=f"{loop.WEIGHTS}: needs more"):
        loop.save_weights(model, tmp_path / "other")
    assert not (tmp_path / "other").exists()
