"""Gumbel top-k, against the softmax and the Plackett-Luce model."""

from itertools import permutations

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import chisquare

from cascade.ensemble.ops.sampling import gumbel_top_k

LOGITS = np.array([1.0, 0.0, -0.5, 0.7])


def plackett_luce(order, logits, temperature):
    """Probability of drawing ``order`` one after the other without replacement, by its definition."""
    weights = np.exp(np.asarray(logits) / temperature)
    left, steps = weights.sum(), []
    for item in order:
        steps.append(weights[item] / left)
        left -= weights[item]
    return steps


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_first_draw_follows_the_softmax(temperature):
    draws = [gumbel_top_k(LOGITS, temperature, seed, 1)[0][0] for seed in range(8000)]
    expected = softmax(LOGITS / temperature) * len(draws)
    assert chisquare(np.bincount(draws, minlength=4), expected).pvalue > 1e-3


def test_pairs_follow_sampling_without_replacement():
    draws = [tuple(gumbel_top_k(LOGITS, 1.0, seed, 2)[0]) for seed in range(12000)]
    pairs = list(permutations(range(4), 2))
    expected = [np.prod(plackett_luce(pair, LOGITS, 1.0)) * len(draws) for pair in pairs]
    assert chisquare([draws.count(pair) for pair in pairs], expected).pvalue > 1e-3


@pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
def test_propensities_are_those_of_the_picks_before(temperature):
    picks, propensities = gumbel_top_k(LOGITS, temperature, seed=5, count=4)
    np.testing.assert_allclose(propensities, plackett_luce(picks, LOGITS, temperature))
    assert propensities[-1] == pytest.approx(1.0)


def test_a_low_temperature_sorts_and_does_not_overflow():
    picks, propensities = gumbel_top_k(np.array([-800.0, 900.0, 3.0]), 1e-30, seed=0, count=3)
    assert picks.tolist() == [1, 2, 0]
    assert propensities.tolist() == [1, 1, 1]


def test_a_seed_may_be_any_int64_and_says_it_all():
    for seed in (0, -1, 2**63 - 1, -(2**63)):
        first, second = gumbel_top_k(LOGITS, 1.0, seed, 3), gumbel_top_k(LOGITS, 1.0, seed, 3)
        assert first[0].tolist() == second[0].tolist()
    assert len({tuple(gumbel_top_k(LOGITS, 1.0, seed, 4)[0]) for seed in range(100)}) > 10


def test_no_candidates():
    picks, propensities = gumbel_top_k(np.array([]), 1.0, 0, 3)
    assert picks.size == propensities.size == 0
