"""Item-item weights beside the vectors: scores by hand, the files, and the best of both sources."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from cascade.models.retriever.neighbours import Neighbours

WEIGHTS = csr_matrix(np.array([[0, 0, 0], [0, 2, 4], [6, 0, -1]], np.float32))
"""Three codes, three items."""
HISTORY = np.array([[2, 1, 0], [1, 0, 0], [0, 0, 0]])


def test_scores_by_hand():
    found = Neighbours(WEIGHTS, 0.5).scores(HISTORY).toarray()
    root = np.sqrt(2)
    np.testing.assert_allclose(found[0], [6 / root, 0.5 * 2 / root, (-1 + 0.5 * 4) / root], rtol=1e-6)
    assert found[1].tolist() == [0, 2, 4]
    assert found[2].tolist() == [0, 0, 0]


def test_a_history_may_hold_an_item_twice():
    found = Neighbours(WEIGHTS).scores(np.array([[1, 1]])).toarray()
    np.testing.assert_allclose(found, [[0, 4 / np.sqrt(2), 8 / np.sqrt(2)]], rtol=1e-6)


def test_row_0_counts_in_every_request():
    every = csr_matrix(np.array([[0, 5, 0], [0, 0, 0], [0, 0, 0]], np.float32))
    found = Neighbours(WEIGHTS + every, 0.5).scores(HISTORY).toarray()
    np.testing.assert_allclose(found - Neighbours(WEIGHTS, 0.5).scores(HISTORY).toarray(), [[0, 5, 0]] * 3, atol=1e-6)


def test_saved_and_loaded(tmp_path):
    assert Neighbours.load(tmp_path) is None
    Neighbours(WEIGHTS, 0.7).save(tmp_path)
    again = Neighbours.load(tmp_path)
    assert again.decay == 0.7
    np.testing.assert_array_equal(again.weights.toarray(), WEIGHTS.toarray())


@st.composite
def cases(draw):
    """Random weights of 0 or more, histories, vectors, and how many items an exact index finds."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    codes, items, requests = draw(st.integers(2, 6)), draw(st.integers(1, 8)), draw(st.integers(1, 4))
    weights = rng.random((codes, items)) * (rng.random((codes, items)) < 0.4)
    history = rng.integers(0, codes, (requests, 3))
    vectors, queries = rng.normal(size=(items, 2)), rng.normal(size=(requests, 2))
    own = Neighbours(csr_matrix(weights.astype(np.float32)), draw(st.sampled_from([1.0, 0.5])))
    return own, history, vectors.astype(np.float32), queries.astype(np.float32), draw(st.integers(1, items))


@given(cases())
def test_the_scores_of_candidates_are_those_of_all_items(case):
    own, history, vectors, _, _ = case
    every = own.scores(history).toarray()
    rows = np.tile(np.arange(len(vectors)), (len(history), 1))
    np.testing.assert_allclose(own.at(history, rows), every, atol=1e-5)
    assert not own.at(history, rows * 0 - 1).any()


@given(cases())
def test_merged_are_the_best_of_all_items(case):
    own, history, vectors, queries, count = case
    products = queries @ vectors.T
    found = np.argsort(-products, axis=1, kind="stable")[:, :count]
    got = own.merged(queries, vectors, history, found, np.full(len(queries), count))
    sums = products + own.scores(history).toarray()
    expected = -np.sort(-sums, axis=1)[:, :count]
    np.testing.assert_allclose(np.take_along_axis(sums, got, axis=1), expected, atol=1e-5)


@given(cases())
def test_scores_are_added_in_place(case):
    own, history, vectors, queries, _ = case
    scores = queries @ vectors.T
    expected = scores + own.scores(history).toarray()
    assert own.add(history, scores) is scores
    np.testing.assert_allclose(scores, expected, atol=1e-5)
