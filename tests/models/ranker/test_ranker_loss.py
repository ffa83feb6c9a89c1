"""The ranker's loss: sampling rates and weights do not change the predicted probability."""

import numpy as np
import pytest

from cascade.models._merlin import tf
from cascade.models.config import DlrmConfig
from cascade.models.ranker.loss import cross_entropy, loss


def rows(label, log_rate=0.0, weight=1.0):
    label = np.array([label], np.float32)
    return {"label": label, "log_rate": np.full_like(label, log_rate), "weight": np.full_like(label, weight)}


def slope(logit, batch, positive_weight):
    """The derivative of the loss by the one logit that all rows share."""
    shared = tf.Variable(logit, dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = cross_entropy(tf.fill(batch["label"].shape, shared), batch, positive_weight)
    return float(tape.gradient(loss, shared))


def test_loss_by_hand():
    """A positive with logit 0 counts 3 times, a negative with logit log 2 once; log 3 is added to both."""
    batch = {**rows([1, 0]), "log_rate": np.array([[0, np.log(2)]], np.float32)}
    got = cross_entropy(np.array([[0, np.log(2)]], np.float32), batch, 3.0)
    assert float(got) == pytest.approx((3 * np.log(4 / 3) + np.log(4)) / 4)


@pytest.mark.parametrize("positive_weight", [0.2, 1.0, 7.5])
def test_a_weight_of_positives_leaves_the_probability(positive_weight):
    """3 of 10 rows are positive: the best logit is log(3 / 7), whatever a positive counts."""
    batch = rows([1] * 3 + [0] * 7)
    best = np.log(3 / 7)
    assert slope(best, batch, positive_weight) == pytest.approx(0, abs=1e-6)
    assert slope(best - 0.1, batch, positive_weight) < -1e-3 and slope(best + 0.1, batch, positive_weight) > 1e-3


def test_a_rate_and_a_weight_together_leave_it_too():
    """Every second negative was drawn, so 3 of 13 are positive."""
    batch = rows([1] * 3 + [0] * 5, log_rate=np.log(0.5))
    assert slope(np.log(3 / 10), batch, 4.0) == pytest.approx(0, abs=1e-6)


def test_rows_without_weight_do_not_count():
    batch = rows([1, 0, 1])
    batch["weight"][0, 2] = 0
    logits = np.array([[1.0, -2.0, 5.0]], np.float32)
    expected = cross_entropy(logits[:, :2], rows([1, 0]), 2.0)
    assert float(cross_entropy(logits, batch, 2.0)) == pytest.approx(float(expected))


def test_several_labels_weigh_in_by_theirs():
    config = DlrmConfig.model_validate({"labels": {"click": {"weight": 3}, "like": {"positive_weight": 5}}})
    logits = np.array([[[0.5, -1.0], [2.0, 0.3]]], np.float32)
    batch = {**rows([0, 0]), "label": np.array([[[1, 0], [0, 1]]], np.float32)}
    click = cross_entropy(logits[:, :, 0], rows([1, 0]))
    like = cross_entropy(logits[:, :, 1], rows([0, 1]), 5.0)
    assert float(loss(logits, batch, config)) == pytest.approx(float(3 * click + like) / 4)


def test_one_label_is_its_own():
    logits = np.array([[[0.5], [2.0]]], np.float32)
    config = DlrmConfig(positive_weight=2.0)
    assert float(loss(logits, rows([1, 0]), config)) == float(cross_entropy(logits[:, :, 0], rows([1, 0]), 2.0))
