"""Steps of the optimizer against numpy and against the optimizers of Keras and Merlin Models."""

import numpy as np
import pytest

from cascade.models._merlin import mm, tf
from cascade.models.config import TrainingConfig
from cascade.models.training.optimizers import Optimizer, learning_rate, sum_duplicates

ROWS, WIDTH = 7, 3


def start(seed=0):
    """An embedding table and a matrix."""
    rng = np.random.default_rng(seed)
    return [tf.Variable(rng.normal(size=shape).astype("f4")) for shape in ((ROWS, WIDTH), (WIDTH, 2))]


def batches(count, size=4, seed=1):
    """Codes [size], some of them repeated, and targets [size, 2]."""
    rng = np.random.default_rng(seed)
    return [(rng.integers(0, ROWS - 2, size), rng.normal(size=(size, 2)).astype("f4")) for _ in range(count)]


def loss_of(variables, codes, targets):
    table, matrix = variables
    return tf.reduce_mean(tf.reduce_sum(tf.square(tf.gather(table, codes) @ matrix - targets), axis=1))


def gradients(variables, codes, targets):
    """Dense gradients, by numpy."""
    table, matrix = (v.numpy() for v in variables)
    error = 2 * (table[codes] @ matrix - targets) / len(codes)
    of_table = np.zeros_like(table)
    np.add.at(of_table, codes, error @ matrix.T)
    return [of_table, table[codes].T @ error]


def train(given, **options):
    """The variables after a step on each batch of ``given``, and the optimizer."""
    variables, optimizer = start(), Optimizer(TrainingConfig(learning_rate=0.1, **options))

    @tf.function(reduce_retracing=True)
    def step(codes, targets):
        with tf.GradientTape() as tape:
            loss = loss_of(variables, codes, targets)
        optimizer.minimize(tape, loss, variables)

    for codes, targets in given:
        step(codes, targets)
    return [v.numpy() for v in variables], optimizer


def keras(optimizer, given, change=lambda gradients, variables: gradients):
    """The variables after steps of a Keras optimizer on numpy's gradients; ``change`` modifies these first."""
    variables = start()
    for codes, targets in given:
        found = change(gradients(variables, codes, targets), variables)
        optimizer.apply_gradients(zip([tf.constant(g) for g in found], variables, strict=True))
    return [v.numpy() for v in variables]


def assert_equal(got, expected, rtol=1e-4):
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-5)


def adam():
    return tf.keras.optimizers.Adam(0.1)


def test_the_default_is_keras_adam():
    given = batches(4)
    assert_equal(train(given)[0], keras(adam(), given))


def test_clipping_scales_all_gradients_to_the_norm_of_the_dense_ones():
    def clipped(found, variables):
        norm = np.sqrt(sum((g**2).sum() for g in found))
        assert norm > 0.5
        return [g * 0.5 / norm for g in found]

    # SGD, because Adam's first steps do not depend on the gradients' scale.
    optimizer = Optimizer(TrainingConfig(clip_norm=0.5))
    optimizer.keras = tf.keras.optimizers.SGD(0.1)
    variables, given = start(), batches(3)
    for codes, targets in given:
        with tf.GradientTape() as tape:
            loss = loss_of(variables, codes, targets)
        optimizer.minimize(tape, loss, variables)
    assert_equal([v.numpy() for v in variables], keras(tf.keras.optimizers.SGD(0.1), given, clipped))


def test_small_gradients_are_not_clipped():
    given = batches(3)
    assert_equal(train(given, clip_norm=1e4)[0], train(given)[0])


@pytest.mark.parametrize("rule", ["adam", "lazy_adam"])
def test_accumulated_batches_equal_one_step_on_all_their_rows(rule):
    parts = batches(6)
    whole = [tuple(np.concatenate(values) for values in zip(*parts[at : at + 3], strict=True)) for at in (0, 3)]
    small, optimizer = train(parts, accumulate=3, embedding_optimizer=rule)
    assert_equal(small, train(whole, embedding_optimizer=rule)[0])
    assert int(optimizer.keras.iterations) == 2


def test_nothing_changes_until_enough_batches_are_accumulated():
    assert_equal(train(batches(2), accumulate=3)[0], [v.numpy() for v in start()], rtol=0)


def test_lazy_adam_equals_merlins():
    given, variables, theirs = batches(5), start(), mm.LazyAdam(0.1)
    for codes, targets in given:
        with tf.GradientTape() as tape:
            loss = loss_of(variables, codes, targets)
        theirs.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    ours, _ = train(given, embedding_optimizer="lazy_adam")
    assert_equal(ours, [v.numpy() for v in variables])


def test_lazy_adam_leaves_rows_of_no_batch_unchanged():
    (table, _), _ = train(batches(5), embedding_optimizer="lazy_adam", clip_norm=1, embedding_l2=0.1)
    np.testing.assert_array_equal(table[ROWS - 2 :], start()[0].numpy()[ROWS - 2 :])


def test_embedding_l2_counts_each_row_of_the_batch_once():
    given = batches(1)
    codes = given[0][0]
    assert len(set(codes)) < len(codes)

    def pulled(found, variables):
        touched = np.isin(np.arange(ROWS), codes)[:, None]
        return [found[0] + np.float32(0.6) * touched * variables[0].numpy(), found[1]]

    assert_equal(train(given, embedding_l2=0.3)[0], keras(adam(), given, pulled))


def test_duplicate_rows_are_summed():
    slices = tf.IndexedSlices(tf.constant([[1.0], [2.0], [4.0]]), tf.constant([3, 1, 3]), tf.constant([5, 1]))
    found = sum_duplicates(slices)
    assert found.indices.numpy().tolist() == [3, 1] and found.values.numpy().tolist() == [[5.0], [2.0]]


def test_fp16_scales_the_loss_and_skips_steps_that_are_not_finite():
    good = batches(2)
    bad = (good[0][0], np.full((4, 2), np.inf, "f4"))
    plain, _ = train(good)
    scaled, optimizer = train(good, precision="fp16")
    assert_equal(scaled, plain)
    scale = float(optimizer.keras.loss_scale)
    skipped, optimizer = train([bad], precision="fp16")
    assert_equal(skipped, [v.numpy() for v in start()], rtol=0)
    assert float(optimizer.keras.loss_scale) == scale / 2
    assert scale / 2 in [float(v) for v in optimizer.variables if v.shape == ()]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.1, 0.1, 0.1]),
        ({"warmup_steps": 4}, [0.0, 0.05, 0.1]),
        ({"decay_steps": 4}, [0.1, 0.05, 0.0]),
        ({"warmup_steps": 2, "decay_steps": 2}, [0.0, 0.1, 0.0]),
    ],
)
def test_learning_rates_by_hand(options, expected):
    """At steps 0, 2 and 4."""
    rate = learning_rate(TrainingConfig(learning_rate=0.1, **options))
    got = [float(rate(step)) if callable(rate) else rate for step in (0, 2, 4)]
    assert got == pytest.approx(expected, abs=1e-7)
