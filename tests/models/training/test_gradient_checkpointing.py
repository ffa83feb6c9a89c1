"""Gradient checkpointing: the same numbers in less memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from model_shop import make_shop
from stage_runs import SECTIONS

from cascade.core.errors import ConfigError
from cascade.models._merlin import tf
from cascade.models.config import DlrmConfig, TwoTowerConfig
from cascade.models.ranker import training as ranker_training
from cascade.models.ranker.dlrm import build as build_dlrm
from cascade.models.ranker.rows import ImpressionRows
from cascade.models.retriever import training as two_tower_training
from cascade.models.retriever.two_tower import build
from cascade.models.training.gradient_checkpointing import SLICES, in_slices
from cascade.models.training.memory_estimate import estimate
from cascade.models.training.random_state import (
    Draws,
    Dropout,
    random_bytes,
    seed,
    state,
    uniform,
)
from cascade.workflows.etl.tensors import Tensors

EVERYTHING = {"accumulate": 2, "clip_norm": 0.5, "embedding_l2": 1e-3, "embedding_optimizer": "lazy_adam"}
CASES = {
    "windows": ("two_tower", {"kind": "transformer", "features": ["genres"]}, {}, 1e-5),
    "ranker": ("ranker", {"kind": "target_attention", "features": ["genres"]}, EVERYTHING, 1e-5),
    "16 bits": ("ranker", {}, {"precision": "fp16"}, 1e-3),
}
"""Model, its history section, its training section, relative tolerance of the losses."""


@pytest.fixture(scope="module")
def impressions(tmp_path_factory):
    """A shop with impressions and time gaps."""
    return Tensors.load(make_shop(tmp_path_factory.mktemp("shop"), label=True, gaps=True)["etl"].path)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_training_gives_the_same_losses(name, impressions, tmp_path):
    """With dropout of ids and of hidden layers, for two epochs of 7 steps."""
    model, history, training, tolerance = CASES[name]
    losses = []
    for recompute in (False, True):
        changed = {**training, "recompute": recompute, "epochs": 2}
        losses.append(TRAININGS[model](impressions, history, changed, tmp_path / str(recompute)).losses)
    np.testing.assert_allclose(losses[1], losses[0], rtol=tolerance)
    assert losses[1][1] < losses[1][0]


def retriever(tensors, history, training, folder):
    section = SECTIONS["two_tower"].model_dump()
    section["user_tower"]["history"] |= history
    section["training"] |= training
    return two_tower_training.train(tensors, TwoTowerConfig.model_validate(section), folder)[1]


def ranker(tensors, history, training, folder):
    section = SECTIONS["dlrm_ranker"].model_dump()
    section["history"] |= history
    section["training"] |= training
    config = DlrmConfig.model_validate(section)
    return ranker_training.train(tensors, ImpressionRows(tensors, config), config, folder)[1]


TRAININGS = {"two_tower": retriever, "ranker": ranker}


@pytest.mark.parametrize(("rows", "width"), [(1, 3), (SLICES + 1, 1), (3 * SLICES - 1, 2)])
def test_gradients_are_those_of_the_whole_batch(rows, width):
    """A table, dropout and a dense layer; the table's gradient has each row at most once per slice."""
    rng = np.random.default_rng(rows)
    table = tf.Variable(rng.normal(size=(4, width)), dtype=tf.float32)
    dense, dropout = tf.keras.layers.Dense(2, activation="tanh"), Dropout(0.3)
    codes = tf.constant(rng.integers(0, 4, (rows, 6)))
    upstream = tf.constant(rng.normal(size=(rows, 6, 2)), tf.float32)

    def segment(columns):
        return dense(dropout(tf.gather(table, columns["codes"]), training=True))

    segment({"codes": codes})  # creates the layer's weights
    found = []
    for compute in (segment, lambda columns: in_slices(segment, columns)):
        seed(1)
        found.append(output_and_gradients(compute, codes, [table, *dense.weights], upstream))
    (whole, gradients), (sliced, of_slices) = found
    np.testing.assert_allclose(sliced, whole, rtol=1e-6)
    for own, expected in zip(of_slices, gradients, strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(own), tf.convert_to_tensor(expected), rtol=1e-4, atol=1e-5)
    assert isinstance(of_slices[0], tf.IndexedSlices) and len(of_slices[0].indices) <= 4 * SLICES


@tf.function
def output_and_gradients(compute, codes, weights, upstream):
    """The output of ``compute``, and the gradients of ``weights``."""
    with tf.GradientTape() as tape:
        output = compute({"codes": codes})
    return output, tape.gradient(output, weights, upstream)


@pytest.mark.parametrize("draw", [uniform, random_bytes])
def test_slices_draw_what_the_batch_draws(draw):
    """Draws of 7 and 3 numbers per row, for slices of 2 and 4 of 6 rows, in any order and repeatedly."""
    seed(5)
    whole = [draw([6, 7]).numpy(), draw([6, 3]).numpy()]
    after = state().numpy()
    seed(5)
    draws = Draws()
    with draws.counted():
        assert not tf.reduce_any(draw([1, 7]) > 0) and draw([1, 3]).shape == [1, 3]
    draws.begin(6)
    for first, rows in ((4, 2), (0, 4), (4, 2)):
        with draws.of_rows(first):
            for of_batch, width in zip(whole, (7, 3), strict=True):
                np.testing.assert_array_equal(draw([rows, width]), of_batch[first : first + rows])
    np.testing.assert_array_equal(state().numpy(), after)


def test_bytes_are_uniform_and_differ_from_draw_to_draw():
    seed(7)
    found = [random_bytes([33, 7, 31]).numpy() for _ in range(20)]
    counts = np.bincount(np.concatenate([values.ravel() for values in found]), minlength=256)
    assert found[0].dtype == np.uint8 and counts.sum() == 20 * 33 * 7 * 31
    assert np.abs(counts / counts.mean() - 1).max() < 5 / np.sqrt(counts.mean())
    assert (found[0] == found[1]).mean() < 0.01


@pytest.mark.parametrize(
    ("rate", "expected"), [(0.0, 0.0), (1e-6, 1 / 256), (0.25, 0.25), (0.3, 77 / 256), (0.999, 255 / 256)]
)
def test_dropout_keeps_the_mean(rate, expected):
    """Each value is 0 with a probability of the rate, else so much larger that the mean stays."""
    seed(7)
    found = Dropout(rate)(tf.ones([400, 1000]), training=True).numpy()
    assert (found == 0).mean() == pytest.approx(expected, abs=5 * np.sqrt(expected / found.size))
    np.testing.assert_allclose(found[found > 0], 1 / (1 - expected), rtol=1e-6)
    assert (Dropout(rate)(tf.ones([3, 4])).numpy() == 1).all()


ONE_AT_A_TIME = {
    "TF_NUM_INTEROP_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}
"""With several operations at a time the peak depends on their order, and malloc keeps what one thread has freed."""


@pytest.mark.slow
@pytest.mark.parametrize(("model", "ratio"), [("two_tower", 0.6), ("dlrm_ranker", 0.4)])
def test_a_step_takes_less_memory_and_no_more_than_is_estimated(model, ratio):
    script = Path(__file__).parents[1] / "step_memory.py"

    def step(kind):
        command = [sys.executable, script, model, kind]
        environment = {**os.environ, **ONE_AT_A_TIME}
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)

    less, more = step("recompute"), step("keep")
    assert less["loss"] == pytest.approx(more["loss"], rel=1e-5)
    assert less["taken"] < ratio * more["taken"]
    assert less["taken"] < less["estimate"] < 0.6 * more["estimate"]


def test_the_estimate_by_hand(tensors):
    """A ranker with 64000 rows per batch, more than any table has: each slice keeps every row of a table once."""
    section = SECTIONS["dlrm_ranker"]
    training = section.training.model_copy(update={"batch_size": 64000})
    model = build_dlrm(tensors.schema, section)
    plain = estimate(model, training)
    less = estimate(model, training.model_copy(update={"recompute": True}))
    kept = 3 * SLICES * 8 * sum(f.cardinality for f in tensors.schema if f.kind == "categorical")
    expected = plain.activations * 4 / 3 / SLICES + 4 * kept + 150e6
    assert less.activations == pytest.approx(expected, rel=1e-6)
    assert (less.parameters, less.working) == (plain.parameters, plain.working)


def test_a_retriever_without_attention_is_refused(tensors):
    config = TwoTowerConfig.model_validate({"training": {"recompute": True}})
    message = r"two_tower\.training\.recompute: .*two_tower\.user_tower\.history\.kind is recency: set that to transf"
    with pytest.raises(ConfigError, match=message):
        build(tensors.schema, config)
