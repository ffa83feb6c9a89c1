"""Losses of the retriever against numbers worked out by hand."""

import math

import numpy as np
import pytest

from cascade.models.backend import tf
from cascade.models.losses import EXCLUDED, bpr, in_batch_logits, softmax


def test_logits_are_products_over_temperature_less_log_q():
    queries = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    items = tf.constant([[0.6, 0.8], [1.0, 0.0]])
    got = in_batch_logits(queries, items, tf.constant([4, 7]), 0.5, tf.constant([-1.0, -2.0]))
    np.testing.assert_allclose(got, [[0.6 / 0.5 + 1, 1 / 0.5 + 2], [0.8 / 0.5 + 1, 0 + 2]], rtol=1e-6)


def test_the_same_item_elsewhere_is_excluded():
    vectors = tf.eye(3)
    got = in_batch_logits(vectors, vectors, tf.constant([5, 5, 6]), 1.0).numpy()
    assert (got == EXCLUDED).tolist() == [[False, True, False], [True, False, False], [False, False, False]]


def test_softmax_by_hand():
    logits = tf.constant([[math.log(3.0), 0.0], [0.0, math.log(4.0)]])
    assert float(softmax(logits)) == pytest.approx((-math.log(3 / 4) - math.log(4 / 5)) / 2)


def test_bpr_by_hand_leaves_excluded_pairs_out():
    logits = tf.constant([[2.0, 1.0, EXCLUDED], [0.0, 3.0, 1.0], [EXCLUDED, 0.0, 1.0]])
    differences = [2 - 1, 3 - 0, 3 - 1, 1 - 0]
    assert float(bpr(logits)) == pytest.approx(np.mean([math.log(1 + math.exp(-d)) for d in differences]), rel=1e-6)


def test_bpr_of_a_batch_of_one_item_is_zero():
    assert float(bpr(tf.constant([[1.0, EXCLUDED], [EXCLUDED, 1.0]]))) == 0


def test_log_q_makes_the_batch_estimate_the_catalogue():
    """Items drawn by popularity: the corrected softmax over them is that over the catalogue, to sampling noise."""
    rng = np.random.default_rng(0)
    scores, chance = np.array([0.5, 0.0, -0.5, 1.0]), np.array([0.6, 0.2, 0.15, 0.05])
    drawn = rng.choice(4, size=4000, p=chance)
    weights = np.exp(scores[drawn] - np.log(chance[drawn]))
    shares = np.bincount(drawn, weights=weights, minlength=4) / weights.sum()
    np.testing.assert_allclose(shares, np.exp(scores) / np.exp(scores).sum(), atol=0.05)
    logits = in_batch_logits(
        tf.ones([4, 1]),
        tf.constant(scores[:, None], tf.float32),
        tf.range(4),
        1.0,
        tf.constant(np.log(chance), tf.float32),
    )
    np.testing.assert_allclose(logits[0], scores - np.log(chance), rtol=1e-5)
