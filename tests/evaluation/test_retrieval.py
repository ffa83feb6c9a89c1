"""Exact search, compared with a full sort."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from cascade.evaluation import retrieval
from cascade.evaluation.retrieval import HistoryScores, best, exact_top
from cascade.models.retriever.neighbours import Neighbours

QUERIES = np.array([[1, 0], [0, 1]], np.float32)
VECTORS = np.array([[3, 0], [1, 2], [2, 1]], np.float32)


def test_items_are_ordered_by_inner_product_without_seen_ones():
    seen = csr_matrix(np.array([[1, 0, 0], [0, 0, 0]], bool))
    assert exact_top(QUERIES, VECTORS, seen, 2, batch_size=1).tolist() == [[2, 1], [1, 2]]


def test_lists_are_padded_if_the_catalogue_is_too_small():
    seen = csr_matrix(np.array([[1, 0, 1], [0, 0, 0]], bool))
    assert exact_top(QUERIES, VECTORS, seen, 5, batch_size=8).tolist() == [[1, -1, -1, -1, -1], [1, 2, 0, -1, -1]]


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 9))
def test_equals_a_full_sort(seed, k, batch_size):
    rng = np.random.default_rng(seed)
    queries, vectors = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(30, 3)).astype(np.float32)
    seen = rng.random((5, 30)) < 0.3
    full = np.argsort(np.where(seen, np.inf, -(queries @ vectors.T)), axis=1)
    want = np.where(np.arange(30) < (~seen).sum(axis=1, keepdims=True), full, -1)
    want = np.pad(want, ((0, 0), (0, 40)), constant_values=-1)[:, :k]
    assert np.array_equal(exact_top(queries, vectors, csr_matrix(seen), k, batch_size), want)


def test_a_block_of_scores_does_not_grow_with_the_catalogue(monkeypatch):
    monkeypatch.setattr(retrieval, "MOST_SCORES", 70)
    table, sizes = np.random.default_rng(0).normal(size=(9, 30)), []

    def scores(users):
        sizes.append(table[users].size)
        return table[users].copy()

    found = best(scores, csr_matrix((9, 30), dtype=bool), 4, batch_size=256)
    assert max(sizes) == 60 and np.array_equal(found, np.argsort(-table, axis=1)[:, :4])


@given(st.integers(0, 1000), st.integers(1, 9), st.sampled_from([1.0, 0.5]))
def test_what_the_history_says_is_added_for_all_items(seed, batch_size, decay):
    rng = np.random.default_rng(seed)
    queries, vectors = rng.normal(size=(7, 3)).astype(np.float32), rng.normal(size=(30, 3)).astype(np.float32)
    weights = (rng.random((33, 30)) * (rng.random((33, 30)) < 0.2)).astype(np.float32)
    histories = np.where(np.arange(4) < rng.integers(0, 5, (7, 1)), rng.integers(1, 33, (7, 4)), 0)
    of_history = HistoryScores(Neighbours(csr_matrix(weights), decay), histories)
    total = (queries @ vectors.T).astype(np.float64)
    for user, history in enumerate(histories):
        own = history[history > 0]
        total[user] += weights[0]
        for age, code in enumerate(own):
            total[user] += decay**age * weights[code] / np.sqrt(len(own))
    nothing = csr_matrix((7, 30), dtype=bool)
    assert np.array_equal(exact_top(queries, vectors, nothing, 6, batch_size, of_history), np.argsort(-total)[:, :6])
    users, items = rng.random(7) < 0.5, np.flatnonzero(rng.random(30) < 0.5)
    if users.any() and len(items):
        part = of_history.take(users, items)
        got = exact_top(queries[users], vectors[items], nothing[users][:, items], 3, batch_size, part)
        assert np.array_equal(got[:, : len(items)], np.argsort(-total[users][:, items])[:, :3])
