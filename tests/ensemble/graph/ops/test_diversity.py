"""MMR, against the definition in its paper."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cosine as cosine_distance

from cascade.ensemble.graph.ops.diversity import diverse_pool


def naive(relevance, vectors, valid, size, weight):
    """MMR by its definition."""
    picked = []
    while len(picked) < min(size, valid.sum()):
        rest = [i for i in np.flatnonzero(valid) if i not in picked]

        def value(i, picked=picked):
            nearest = max((1 - cosine_distance(vectors[i], vectors[j]) for j in picked), default=None)
            return relevance[i] if nearest is None else (1 - weight) * relevance[i] - weight * nearest

        picked.append(max(rest, key=value))
    return picked


def eager(relevance, vectors, valid, size, weight):
    """MMR from the matrix of all cosines, in the precision of the kernel; vectors of integers make ties exact."""
    squares = (vectors**2).sum(axis=1)
    inverse = np.divide(1.0, np.sqrt(squares), where=squares > 0, out=np.zeros(len(squares)))
    cosines = (vectors @ vectors.T) * inverse[:, None] * inverse
    value, nearest, picks = np.where(valid, relevance, -np.inf), np.full(len(valid), -np.inf), []
    for _ in range(min(size, valid.sum())):
        picks.append(int(value.argmax()))
        nearest = np.maximum(nearest, weight * cosines[:, picks[-1]])
        value = np.where(valid, (1 - weight) * relevance - nearest, -np.inf)
        value[picks] = -np.inf
    return picks


def pools(relevance, vectors, valid, sizes, weight):
    picked = np.empty(valid.shape, dtype=bool)
    sizes = np.array(sizes, dtype=np.int32)[:, None]
    diverse_pool(relevance, np.asarray(vectors, dtype=np.float32), valid, sizes, weight, picked)
    return picked


def one(relevance, vectors, size, weight, valid=None):
    relevance, vectors = np.array([relevance], dtype=float), np.array([vectors])
    valid = np.ones(relevance.shape, dtype=bool) if valid is None else np.array([valid])
    return np.flatnonzero(pools(relevance, vectors, valid, [size], weight)[0]).tolist()


NEAR, FAR = [[1, 0], [1, 0.01], [0, 1]], [1.0, 0.9, 0.5]


def test_a_dissimilar_item_beats_a_near_copy():
    # second pick, lambda 0.5: the copy 0.5 * 0.9 - 0.5 * 1.0 = -0.05; the other one 0.5 * 0.5 - 0 = 0.25
    assert one(FAR, NEAR, 2, 0.5) == [0, 2]


def test_weight_zero_picks_by_relevance_only():
    assert one(FAR, NEAR, 2, 0.0) == [0, 1]


def test_length_of_a_vector_does_not_matter():
    assert one(FAR, [[10, 0], [0.1, 0.001], [0, 5]], 2, 0.5) == [0, 2]


def test_an_opposite_item_is_better_than_an_orthogonal_one():
    # cosines with the first pick: -1 and 0; at the same relevance the opposite one wins
    assert one([1.0, 0.5, 0.5], [[1, 0], [0, 1], [-1, 0]], 2, 0.5) == [0, 2]


def test_invalid_candidates_are_never_picked_and_a_short_list_is_taken_whole():
    assert one(FAR, NEAR, 3, 0.5, valid=[False, True, True]) == [1, 2]
    assert one(FAR, NEAR, 3, 0.0, valid=[False, True, True]) == [1, 2]
    assert one(FAR, NEAR, 3, 0.5, valid=[False, False, False]) == []


def test_zero_vectors_have_cosine_zero():
    assert one([0.2, 0.9, 0.1], [[0, 0], [0, 0], [0, 0]], 2, 0.5) == [0, 1]


@pytest.mark.parametrize("weight", [0.2, 0.5, 1.0])
def test_is_what_the_paper_s_loop_picks(weight):
    rng = np.random.default_rng(3)
    users = 20
    relevance, vectors = rng.random((users, 15)), rng.normal(size=(users, 15, 4))
    valid, sizes = rng.random((users, 15)) < 0.8, rng.integers(1, 12, users)
    got = pools(relevance, vectors, valid, sizes, weight)
    for user in range(0, users, 5):
        expected = naive(relevance[user], vectors[user], valid[user], sizes[user], weight)
        assert np.flatnonzero(got[user]).tolist() == sorted(expected)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.2, 0.5, 0.75, 1.0]), st.integers(0, 12), st.integers(1, 5))
def test_picks_and_ties_are_those_of_the_whole_matrix(seed, weight, size, dim):
    rng = np.random.default_rng(seed)
    users, count = 3, 10
    relevance = rng.integers(0, 5, (users, count)) / 4
    vectors = rng.integers(-1, 2, (users, count, dim)).astype(float)
    valid = rng.random((users, count)) < 0.8
    got = pools(relevance, vectors, valid, [size] * users, weight)
    for user in range(users):
        expected = eager(relevance[user], vectors[user], valid[user], size, weight)
        assert np.flatnonzero(got[user]).tolist() == sorted(expected)


def test_two_hundred_candidates_of_64_dims():
    rng = np.random.default_rng(5)
    relevance, vectors = rng.random((4, 200)), rng.integers(-3, 4, (4, 200, 64)).astype(float)
    valid = np.ones((4, 200), dtype=bool)
    got = pools(relevance, vectors, valid, [50, 200, 1, 300], 0.4)
    for user, size in enumerate([50, 200, 1, 300]):
        expected = eager(relevance[user], vectors[user], valid[user], size, 0.4)
        assert np.flatnonzero(got[user]).tolist() == sorted(expected)
