"""Gumbel top-k, against the softmax and the Plackett-Luce model."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import chisquare

from cascade.ensemble.graph.ops.sampling import gumbel_top_k

LOGITS = np.array([1.0, 0.0, -0.5, 0.7])


def draw(logits, temperature, seeds, count, rows=None, pool=None):
    """Picks [n, count] and propensities [n, count] of one batch, with one draw for each seed."""
    seeds = np.array(seeds, dtype=np.int64)[:, None]
    logits = np.tile(np.array(logits, dtype=np.float32), (len(seeds), 1))
    rows = np.tile(np.arange(logits.shape[1]) if rows is None else rows, (len(seeds), 1))
    pool = np.tile(np.ones(logits.shape[1], dtype=bool) if pool is None else pool, (len(seeds), 1))
    picks = np.empty((len(seeds), count), dtype=np.int64)
    propensities = np.empty(picks.shape, dtype=np.float32)
    top_k, heat = np.full(seeds.shape, count, np.int32), np.full(seeds.shape, temperature, np.float32)
    gumbel_top_k(rows, logits, pool, top_k, heat, seeds, picks, propensities)
    return picks, propensities


def plackett_luce(order, logits, temperature):
    """Probability of each item in ``order`` when drawing without replacement, by definition."""
    weights = np.exp(np.asarray(logits) / temperature)
    left, steps = weights.sum(), []
    for item in order:
        steps.append(weights[item] / left)
        left -= weights[item]
    return steps


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("seeds", [range(8000), range(-(2**63), -(2**63) + 8000 * 2**40, 2**40)])
def test_first_draw_follows_the_softmax(temperature, seeds):
    draws = draw(LOGITS, temperature, seeds, 1)[0][:, 0]
    expected = softmax(LOGITS / temperature) * len(draws)
    assert chisquare(np.bincount(draws, minlength=4), expected).pvalue > 1e-3


def test_pairs_follow_sampling_without_replacement():
    draws = [tuple(pair) for pair in draw(LOGITS, 1.0, range(12000), 2)[0].tolist()]
    pairs = list(permutations(range(4), 2))
    expected = [np.prod(plackett_luce(pair, LOGITS, 1.0)) * len(draws) for pair in pairs]
    assert chisquare([draws.count(pair) for pair in pairs], expected).pvalue > 1e-3


@pytest.mark.parametrize("rows", [np.arange(20), np.arange(20) * 2**32, 10**7 - np.arange(20)])
def test_items_with_equal_logits_are_equally_likely_at_each_position(rows):
    picks = draw(np.zeros(20), 1.0, range(4000), 20, rows)[0]
    for place in (0, 9, 19):
        assert chisquare(np.bincount(picks[:, place], minlength=20)).pvalue > 1e-3


def test_two_seeds_are_independent():
    """The rank correlation between the orders of two consecutive seeds is 0 on average."""
    picks = draw(np.zeros(50), 1.0, range(2000), 50)[0]
    ranks = picks.argsort(axis=1) - 24.5
    correlations = (ranks[1:] * ranks[:-1]).mean(axis=1) / ranks[0].var()
    assert abs(correlations.mean()) < 4 / np.sqrt(49 * len(correlations))


@pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
def test_propensities_are_given_the_earlier_picks(temperature):
    picks, propensities = draw(LOGITS, temperature, range(20), 4)
    logits, heat = LOGITS.astype(np.float32).astype(float), float(np.float32(temperature))
    expected = [plackett_luce(pick, logits, heat) for pick in picks]
    np.testing.assert_allclose(propensities, expected, rtol=1e-6)
    assert propensities[0, -1] == pytest.approx(1.0)


def test_propensities_of_a_large_pool():
    logits = np.random.default_rng(0).normal(size=200).astype(np.float32) * 4
    picks, propensities = draw(logits, 0.75, [3], 60)
    expected = plackett_luce(picks[0], logits.astype(float), 0.75)
    np.testing.assert_allclose(propensities[0], expected, rtol=1e-5)


def test_a_low_temperature_sorts_and_does_not_overflow():
    picks, propensities = draw([-800.0, 900.0, 3.0], 1e-30, [0], 3)
    assert picks.tolist() == [[1, 2, 0]]
    assert propensities.tolist() == [[1, 1, 1]]


def test_temperature_zero_sorts_and_keeps_the_order_of_equals():
    picks, propensities = draw([0.0, 2.0, -0.0, 2.0], 0, [7], 4)
    assert picks.tolist() == [[1, 3, 0, 2]]
    assert propensities.tolist() == [[1, 1, 1, 1]]


def test_a_seed_may_be_any_int64_and_determines_the_draw():
    seeds = [0, -1, 2**63 - 1, -(2**63)]
    assert draw(LOGITS, 1.0, seeds, 3)[0].tolist() == [draw(LOGITS, 1.0, [seed], 3)[0][0].tolist() for seed in seeds]
    assert len(np.unique(draw(LOGITS, 1.0, range(100), 4)[0], axis=0)) > 10


@given(st.integers(-(2**63), 2**63 - 1), st.permutations(range(6)))
def test_noise_belongs_to_the_item_not_to_its_position(seed, order):
    rows, logits = np.arange(6) * 1000, np.linspace(-1, 1, 6)
    there = rows[draw(logits, 1.0, [seed], 6, rows)[0][0]]
    here = rows[order][draw(logits[order], 1.0, [seed], 6, rows[order])[0][0]]
    assert here.tolist() == there.tolist()


def test_draws_from_the_pool_only_and_pads():
    picks, propensities = draw(LOGITS, 1.0, range(50), 3, pool=[True, False, False, True])
    assert (np.sort(picks[:, :2], axis=1) == [0, 3]).all() and (picks[:, 2] == -1).all()
    expected = [plackett_luce(pick, [1.0, 0.7], 1.0) for pick in picks[:, :2] // 3]
    np.testing.assert_allclose(propensities[:, :2], expected, rtol=1e-5)
    assert (propensities[:, 2] == 0).all()


def test_no_candidates():
    picks, propensities = draw(LOGITS, 1.0, [0], 2, pool=[False] * 4)
    assert picks.tolist() == [[-1, -1]] and propensities.tolist() == [[0, 0]]
