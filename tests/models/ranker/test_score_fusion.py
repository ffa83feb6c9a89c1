"""Fusion of the DLRM's and the retriever's scores."""

import numpy as np
import pytest

from cascade.models.ranker.score_fusion import (
    MIN_POSITIVES,
    MOST_WEIGHT,
    Fusion,
    conditional_logit,
    fit_fusion,
    fit_weights,
)


def sample(n=40000, seed=0):
    rng = np.random.default_rng(seed)
    logits, cosine = rng.normal(size=n) - 2, rng.uniform(-1, 1, n)
    chance = 1 / (1 + np.exp(-(0.5 * logits + 2.0 * cosine - 1.0)))
    label = rng.random(n) < chance
    return logits.astype("f4")[:, None], cosine.astype("f4")[:, None], label[:, None]


def test_it_finds_the_weights_that_made_the_labels():
    found = fit_fusion(*sample())
    np.testing.assert_allclose([found.ranker, found.retriever, found.bias], [0.5, 2.0, -1.0], atol=0.1)


def test_what_it_gives_is_calibrated():
    logits, cosine, label = sample(seed=1)
    chance = 1 / (1 + np.exp(-fit_fusion(*sample())(logits, cosine).astype(float)))
    assert abs(chance.mean() - label.mean()) < 0.01


def test_with_too_few_positives_only_the_dlrm_is_used():
    logits, cosine, _ = sample(200)
    label = np.arange(200)[:, None] < MIN_POSITIVES - 1
    assert fit_fusion(logits, cosine, label) == Fusion(1.0, 0.0, 0.0)


def test_a_dlrm_that_misleads_has_no_weight():
    """The retriever alone is the better choice of the two."""
    logits, cosine, label = sample()
    found = fit_fusion(-logits, cosine, label)
    assert found.ranker == 0 and found.order == "retriever"
    chance = 1 / (1 + np.exp(-found(logits, cosine).astype(float)))
    assert abs(chance.mean() - label.mean()) < 0.01


@pytest.mark.parametrize(("weights", "order"), [((0.0, 1.0), "retriever"), ((1.0, 0.0), "dlrm"), ((1.0, 4.0), "fused")])
def test_weights_that_are_given_keep_their_ratio(weights, order):
    logits, cosine, label = sample()
    found = fit_fusion(logits, cosine, label, weights=weights)
    assert found.order == order
    assert found.ranker * weights[1] == pytest.approx(found.retriever * weights[0])
    assert fit_fusion(logits, cosine, label, "none", weights) == Fusion(*((0.0, 1.0) if order == "retriever" else ()))


def test_the_retriever_alone_is_calibrated_by_few_positives():
    """Held back towards the mean: twenty labels of a perfect model do not make it certain of anything."""
    cosine = np.linspace(-1, 1, 200, dtype="f4")[:, None]
    label = cosine > np.sort(cosine[:, 0])[-21]
    found = fit_fusion(np.zeros_like(cosine), cosine, label, weights=(0.0, 1.0))
    chance = 1 / (1 + np.exp(-found(np.zeros_like(cosine), cosine).astype(float)))
    assert label.sum() == 20 and chance.mean() == pytest.approx(0.1, abs=1e-3)
    assert 0 < found.retriever < 20 and found.calibration == "platt"


def test_a_retriever_that_misleads_is_not_turned_around():
    logits, cosine, label = sample()
    found = fit_fusion(logits, -cosine, label, weights=(0.0, 1.0))
    assert found == Fusion(0.0, 1.0) and found.calibration == "none"


def test_who_asks_for_a_dlrm_that_misleads_gets_a_little_of_it():
    logits, cosine, label = choices()
    found = fit_weights(-logits, cosine, label, least=0.01)
    assert found[0] == pytest.approx(0.01) and found[1] > 1
    assert fit_weights(-logits, cosine, label)[0] == 0


def test_noise_gets_no_large_weight():
    """Logits that are nearly equal stay so. The retriever's weight is what it is without them."""
    logits, cosine, label = choices()
    found = fit_weights(logits / 1000, cosine, label)
    assert found[0] == pytest.approx(MOST_WEIGHT)
    assert found[1] == pytest.approx(conditional_logit(cosine[..., None], label, [np.inf])[0], rel=0.01)


def choices(n=6000, k=5, seed=0):
    """Easy requests choose one of k candidates by 1.0 * logit + 3.0 * cosine, the others choose none."""
    rng = np.random.default_rng(seed)
    logits, cosine = rng.normal(size=(n, k)), rng.uniform(-1, 1, (n, k))
    score = 1.0 * logits + 3.0 * cosine + rng.gumbel(size=(n, k))
    easy = rng.random(n) < 0.5
    label = (score == score.max(axis=1, keepdims=True)) & easy[:, None]
    logits += np.where(easy, 4.0, 0.0)[:, None]  # differs between requests, not between candidates
    return logits.astype("f4"), cosine.astype("f4"), label


def test_the_ratio_of_the_weights_is_that_of_the_choices():
    found = fit_fusion(*choices())
    assert found.retriever / found.ranker == pytest.approx(3.0, rel=0.1)
    pooled = fit_fusion(*(values.reshape(-1, 1) for values in choices()))
    assert pooled.retriever / pooled.ranker < 2.6


def test_scores_of_choices_are_calibrated():
    logits, cosine, label = choices(seed=1)
    chance = 1 / (1 + np.exp(-fit_fusion(*choices())(logits, cosine).astype(float)))
    assert abs(chance.mean() - label.mean()) < 0.01


def test_padding_does_not_count():
    logits, cosine, label = choices()
    wider = [
        np.pad(values, ((0, 0), (0, 2)), constant_values=fill) for values, fill in ((logits, -np.inf), (cosine, 9))
    ]
    assert fit_fusion(*wider, np.pad(label, ((0, 0), (0, 2)))) == fit_fusion(logits, cosine, label)


def test_a_retriever_that_misleads_choices_has_no_weight():
    logits, cosine, label = choices()
    found = fit_fusion(logits, -cosine, label)
    assert found.retriever == 0
    assert found.ranker > 0
