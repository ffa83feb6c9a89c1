"""Weighing the DLRM with the retriever."""

import numpy as np

from cascade.models.fusion import FEWEST_POSITIVES, Fusion, fit_fusion


def sample(n=40000, seed=0):
    rng = np.random.default_rng(seed)
    logits, cosine = rng.normal(size=n) - 2, rng.uniform(-1, 1, n)
    chance = 1 / (1 + np.exp(-(0.5 * logits + 2.0 * cosine - 1.0)))
    return logits.astype("f4"), cosine.astype("f4"), rng.random(n) < chance


def test_it_finds_the_weights_that_made_the_labels():
    found = fit_fusion(*sample())
    np.testing.assert_allclose([found.ranker, found.retriever, found.bias], [0.5, 2.0, -1.0], atol=0.1)


def test_what_it_gives_is_calibrated():
    logits, cosine, label = sample(seed=1)
    chance = 1 / (1 + np.exp(-fit_fusion(*sample())(logits, cosine).astype(float)))
    assert abs(chance.mean() - label.mean()) < 0.01


def test_too_few_positives_leave_the_dlrm_alone():
    logits, cosine, _ = sample(200)
    label = np.arange(200) < FEWEST_POSITIVES - 1
    assert fit_fusion(logits, cosine, label) == Fusion(1.0, 0.0, 0.0)


def test_a_weight_of_the_wrong_sign_leaves_the_dlrm_alone():
    logits, cosine, label = sample()
    assert fit_fusion(-logits, cosine, label) == Fusion()
