"""The retriever's losses, computed by hand."""

import itertools
import math

import numpy as np
import pytest

from cascade.models._merlin import tf
from cascade.models.retriever.losses import (
    EXCLUDED,
    bpr,
    count_hard,
    cross_entropy,
    negative_mask,
    own_logits,
    shared_logits,
    softmax,
)


def softplus(x):
    return math.log(1 + math.exp(x))


def test_logits_are_scores_less_log_q():
    scores = tf.constant([[1.2, 2.0], [1.6, 0.0]])
    got = shared_logits(scores, tf.constant([4, 7]), tf.constant([[-1.0, -2.0]]))
    np.testing.assert_allclose(got, [[1.2 + 1, 2 + 2], [1.6 + 1, 0 + 2]], rtol=1e-6)


def test_the_same_item_elsewhere_and_no_item_are_excluded():
    got = shared_logits(tf.zeros([3, 5]), tf.constant([5, 5, 6, 6, -1])).numpy()
    x, o = True, False
    assert (got == EXCLUDED).tolist() == [[o, x, o, o, x], [x, o, o, o, x], [o, o, o, x, x]]


def test_of_a_querys_own_negatives_its_positive_and_no_item_are_excluded():
    scores = tf.constant([[1.0, 0.5, 0.2], [1.0, 0.5, 0.2]])
    got = own_logits(scores, tf.constant([[5, 6, -1], [5, 6, 7]]), tf.constant([5, 6]), tf.ones([2, 3]))
    np.testing.assert_allclose(got, [[EXCLUDED, -0.5, EXCLUDED], [0, EXCLUDED, -0.8]], rtol=1e-6, atol=1e-7)


def test_softmax_by_hand():
    logits = tf.constant([[math.log(3.0), 0.0], [0.0, math.log(4.0)]])
    assert float(softmax(logits)) == pytest.approx((-math.log(3 / 4) - math.log(4 / 5)) / 2)


def test_cross_entropy_and_its_gradient_are_tensorflows():
    rng = np.random.default_rng(0)
    values = rng.normal(scale=30, size=(4, 7)).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = EXCLUDED
    np.fill_diagonal(values, [5.0, 90.0, -80.0, 0.0])
    upstream, found = tf.constant([1.0, -2.0, 0.0, 3.0]), []
    own = tf.nn.sparse_softmax_cross_entropy_with_logits
    for of in (cross_entropy, lambda logits: own(tf.range(4), logits)):
        logits = tf.Variable(values)
        with tf.GradientTape() as tape:
            loss = of(logits)
        found.append([loss, tape.gradient(loss, logits, output_gradients=upstream)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_softmax_over_shared_and_own_candidates_by_hand():
    shared = tf.constant([[math.log(3.0), 0.0, EXCLUDED], [0.0, math.log(4.0), math.log(2.0)]])
    own = tf.constant([[math.log(5.0)], [EXCLUDED]])
    assert float(softmax(shared, own)) == pytest.approx((-math.log(3 / 9) - math.log(4 / 7)) / 2)


def test_bpr_by_hand_leaves_excluded_pairs_out():
    logits = tf.constant([[2.0, 1.0, EXCLUDED], [0.0, 3.0, 1.0], [EXCLUDED, 0.0, 1.0]])
    pairs = [softplus(1 - 2), softplus(0 - 3), softplus(1 - 3), softplus(0 - 1)]
    assert float(bpr(logits)) == pytest.approx(np.mean(pairs), rel=1e-6)


def test_bpr_counts_shared_and_own_negatives_alike_by_hand():
    shared = tf.constant([[2.0, 1.0, 0.0], [0.0, 3.0, EXCLUDED]])
    own = tf.constant([[1.5, EXCLUDED], [2.5, 0.5]])
    of_shared = [softplus(1 - 2), softplus(0 - 2), softplus(0 - 3)]
    of_own = [softplus(1.5 - 2), softplus(2.5 - 3), softplus(0.5 - 3)]
    assert float(bpr(shared, own)) == pytest.approx((np.mean(of_shared) + np.mean(of_own)) / 2, rel=1e-6)


def test_corrected_bpr_learns_how_likely_an_item_is_whatever_negatives_come():
    """With positives drawn by p and negatives by q, the gradient is 0 where the scores are log p."""
    p, q = np.array([0.5, 0.3, 0.15, 0.05], "f4"), np.array([0.1, 0.2, 0.3, 0.4], "f4")
    scores = tf.Variable(0.2 * np.log(p))

    def gradient(log_q):
        with tf.GradientTape() as tape:
            pairs = []
            for i, j in itertools.permutations(range(4), 2):
                rows = tf.constant([i, j])
                taken = None if log_q is None else tf.gather(log_q, rows)[None]
                logits = shared_logits(tf.gather(scores, rows)[None] / 0.2, rows, taken)
                pairs.append(p[i] * q[j] * bpr(logits))
            loss = tf.add_n(pairs)
        return tf.convert_to_tensor(tape.gradient(loss, scores)).numpy()

    np.testing.assert_allclose(gradient(tf.math.log(q)), 0, atol=1e-6)
    assert np.abs(gradient(None)).max() > 0.1


def test_bpr_of_a_batch_of_one_item_is_zero():
    assert float(bpr(tf.constant([[1.0, EXCLUDED], [EXCLUDED, 1.0]]))) == 0


def test_hard_negatives_by_hand():
    scores = tf.constant([[0.5, 0.4, 0.7], [0.1, 0.9, 0.95]])
    logits = shared_logits(scores, tf.constant([1, 2, 1]))
    positive = tf.constant([[0.5], [0.9]])
    counts = {
        margin: count_hard(scores, positive, negative_mask(logits), margin).numpy().tolist() for margin in (0, 0.15)
    }
    # The third is the first query's own item; of the three negatives 0.95 is above, 0.4 within 0.15 of its positive.
    assert counts == {0: [1, 3], 0.15: [2, 3]}
