"""Sampling of the ranker's training rows: rates by hand, calibration by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from cascade.models.ranker import candidates
from cascade.models.ranker.candidates import (
    PAD,
    Sampler,
    draw_items,
    draw_without_replacement,
    retrieve,
)
from cascade.models.retriever.user_items import UserItems


def matrix(rows, width=10):
    dense = np.zeros((len(rows), width), bool)
    for at, columns in enumerate(rows):
        dense[at, columns] = True
    return UserItems(csr_matrix(dense), np.arange(len(rows)))


def draw(sampler, positive=9, candidates=(0, 1, 2, 3), retrieved=True, seen=(), disliked=None, seed=0):
    return sampler(
        np.random.default_rng(seed),
        np.array([positive], np.int32),
        np.array([candidates], np.int32),
        np.array([retrieved]),
        matrix([list(seen)]),
        None if disliked is None else matrix([list(disliked)]),
    )


def test_rates_by_hand():
    """2 of 4 candidates: 1/2 each; 5 of 10 items at random: 1/2 each."""
    got = draw(Sampler(n_items=10, hard=2, random=5))
    there = got.weight[0] > 0
    for at in np.flatnonzero(there):
        near = at == 0 or got.items[0, at] in (0, 1, 2, 3)
        assert got.log_rate[0, at] == pytest.approx(np.log(0.5 + 0.5 if near else 0.5))
    assert got.label[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert got.items[0, 0] == 9 and set(got.items[0, 1:3]) < {0, 1, 2, 3}


def test_a_positive_that_is_not_retrieved_has_the_random_rate():
    got = draw(Sampler(n_items=10, hard=2, random=5), retrieved=False)
    assert got.log_rate[0, 0] == pytest.approx(np.log(0.5))


def test_without_random_draws_its_weight_is_0():
    got = draw(Sampler(n_items=10, hard=2, random=0), retrieved=False)
    assert got.weight[0].tolist() == [0, 1, 1]


def test_fewer_candidates_than_asked_for():
    got = draw(Sampler(n_items=10, hard=3, random=0), candidates=(4, PAD, PAD, PAD))
    assert got.weight[0].sum() == 2 and sorted(got.items[0][got.weight[0] > 0]) == [4, 9]
    assert got.log_rate[0][got.weight[0] > 0].tolist() == [0.0, 0.0]  # the only candidate is drawn always


def test_random_draws_of_the_positive_or_of_seen_items_have_weight_0():
    got = draw(Sampler(n_items=10, hard=0, random=200), seen=(5, 6))
    drawn = set(got.items[0, 1:][got.weight[0, 1:] > 0])
    assert drawn == set(range(10)) - {9, 5, 6}


def test_explicit_negatives_and_their_rate():
    got = draw(Sampler(n_items=10, hard=0, random=0, explicit=2), candidates=(PAD,), disliked=(5, 6, 7, 8))
    assert set(got.items[0, 1:]) <= {5, 6, 7, 8} and got.label[0, 1:].tolist() == [0, 0]
    np.testing.assert_allclose(got.log_rate[0, 1:], np.log(2 / 4), rtol=1e-6)
    none = draw(Sampler(n_items=10, hard=0, random=0, explicit=2), candidates=(PAD,), disliked=())
    assert none.weight[0, 1:].tolist() == [0, 0]


def test_the_correction_recovers_the_population_rate():
    """A logit shared by all candidates and trained on sampled rows learns the probability 1 / candidates.

    Minimizing sum of softplus(z - r) - y (z - r) over z: the fit's slope is zero where sum sigmoid(z - r) = sum y.
    """
    rng, n, sampler = np.random.default_rng(0), 4000, Sampler(n_items=50, hard=3, random=0)
    candidates = np.array([rng.permutation(50)[:20] for _ in range(n)], np.int32)
    got = sampler(rng, candidates[:, 0], candidates[:, 1:], np.ones(n, bool), matrix([[]] * n, 50))
    low, high = -10.0, 10.0
    for _ in range(60):
        z = (low + high) / 2
        slope = ((1 / (1 + np.exp(got.log_rate - z)) - got.label) * got.weight).sum()
        low, high = (z, high) if slope < 0 else (low, z)
    # odds of 1 to 19: one positive in twenty candidates
    assert np.exp(z) == pytest.approx(1 / 19, rel=1e-3)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(1, 6))
def test_draws_without_replacement_are_distinct_members(seed, count, width):
    rng = np.random.default_rng(seed)
    rows = np.array([rng.permutation(30)[:width] for _ in range(7)], np.int32)
    rows[rng.random(rows.shape) < 0.3] = PAD
    got = draw_without_replacement(rng, rows, count)
    for have, drawn in zip(rows, got, strict=True):
        members = drawn[drawn != PAD].tolist()
        assert len(drawn) == count and len(set(members)) == len(members) == min(count, (have != PAD).sum())
        assert set(members) <= set(have.tolist())


def test_draws_of_items():
    drawn, rate = draw_items(np.random.default_rng(0), matrix([[1, 2], [], [7]]), 3)
    assert set(drawn[0]) <= {1, 2} and drawn[1].tolist() == [PAD] * 3 and drawn[2].tolist() == [7] * 3
    assert rate[0] == 1.5 and rate[2] == 3


@pytest.mark.parametrize("kind", ["Flat", "IVF2,Flat"])
@pytest.mark.parametrize(("queries_at_once", "found_at_once"), [(1024, 10**6), (3, 10**6), (1024, 60), (1, 1)])
def test_retrieve_gives_the_nearest_unseen(queries_at_once, found_at_once, kind, monkeypatch):
    import faiss

    monkeypatch.setattr(candidates, "MOST_QUERIES", queries_at_once)
    monkeypatch.setattr(candidates, "MOST_FOUND", found_at_once)

    rng = np.random.default_rng(0)
    vectors, queries = rng.normal(size=(40, 8)).astype("f4"), rng.normal(size=(11, 8)).astype("f4")
    seen = rng.random((11, 40)) < rng.random((11, 1))
    index = faiss.index_factory(8, kind, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    if kind != "Flat":
        index.nprobe = 2
    own = rng.integers(0, 40, 11)
    got = retrieve(index, queries, UserItems(csr_matrix(seen), np.arange(11), without=own), 15)
    seen[np.arange(11), own] = False
    for query, hidden, rows in zip(queries, seen, got, strict=True):
        order = [i for i in np.argsort(-(vectors @ query)) if not hidden[i]][:15]
        assert rows.tolist() == order + [PAD] * (15 - len(order))


@pytest.mark.slow
def test_a_user_with_most_events_costs_no_more_memory_than_others():
    """20,000 events of a user with 3,000 items: the items once, not 60 million entries."""
    import tracemalloc

    import faiss

    rng, items, events = np.random.default_rng(0), 4000, 20_000
    seen = UserItems(csr_matrix(np.arange(items)[None] < 3000), np.zeros(events, np.int32), np.arange(events) % 3000)
    index = faiss.IndexFlatIP(4)
    index.add(rng.normal(size=(items, 4)).astype("f4"))
    queries = rng.normal(size=(events, 4)).astype("f4")
    tracemalloc.start()
    found = retrieve(index, queries, seen, 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ((found >= 3000) | (found == seen.without[:, None])).all()
    assert peak < 150e6
