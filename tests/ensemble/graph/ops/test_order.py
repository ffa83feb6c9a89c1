"""Threshold, pool, order and sampling of the recommended list."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from cascade.ensemble.graph.ops.order import Order, relevances, sigmoid
from cascade.testing.op_contract import OpContract

DIM = 4


def request(logits, *, top_k=3, temperature=0.0, seed=0, vectors=None, rows=None):
    logits = np.array(logits, dtype=np.float32)
    users, count = logits.shape
    shape = (users, 1)
    if rows is None:
        rows = np.where(np.isneginf(logits), -1, np.arange(count) + 10)
    if vectors is None:
        vectors = np.random.default_rng(0).normal(size=(users, count, DIM))
    return {
        "candidate_rows": np.array(rows, dtype=np.int64),
        "logits": logits,
        "item_vectors": np.array(vectors, dtype=np.float32),
        "top_k": np.full(shape, top_k, dtype=np.int32),
        "temperature": np.full(shape, temperature, dtype=np.float32),
        "seed": np.full(shape, seed, dtype=np.int64),
    }


class TestOrder(OpContract):
    def make_op(self, folder):
        return Order(DIM, pool=6, diversity_lambda=0.3, min_score=0.2)

    def make_batch(self):
        users = 70
        rng = np.random.default_rng(1)
        logits = rng.normal(size=(users, 12))
        logits[3, 2:] = logits[4] = -np.inf
        batch = request(logits, vectors=rng.normal(size=(users, 12, DIM)))
        batch["top_k"][:, 0] = rng.integers(1, 12, users)
        batch["temperature"][::2, 0] = 0.7
        batch["seed"][:, 0] = np.arange(users)
        return batch


def test_temperature_zero_sorts_by_score():
    got = Order(DIM, diversity_lambda=0)(request([[0.0, 2.0, -1.0, 1.0]]))
    assert got["ranked_rows"].tolist() == [[11, 13, 10]]
    np.testing.assert_allclose(got["scores"], expit([[2.0, 1.0, 0.0]]), rtol=1e-6)
    assert got["propensities"].tolist() == [[1, 1, 1]]


def test_equal_scores_keep_the_retriever_s_order():
    got = Order(DIM, diversity_lambda=0)(request([[1.0, 5.0, 1.0, 1.0]], top_k=4))
    assert got["ranked_rows"].tolist() == [[11, 10, 12, 13]]


def test_scores_below_the_threshold_leave():
    got = Order(DIM, min_score=0.5, diversity_lambda=0)(request([[-0.1, 0.0, 3.0]]))
    assert got["ranked_rows"].tolist() == [[12, 11, -1]]
    assert got["scores"][0, 2] == got["propensities"][0, 2] == 0


def test_each_row_has_its_own_top_k():
    batch = request([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    batch["top_k"][:, 0] = [1, 2]
    assert Order(DIM, diversity_lambda=0)(batch)["ranked_rows"].tolist() == [[10, -1], [10, 11]]


def test_a_top_k_above_the_candidates_pads():
    got = Order(DIM)(request([[1.0, -np.inf, -np.inf]], top_k=5))
    assert got["ranked_rows"].tolist() == [[10, -1, -1, -1, -1]]


def test_the_pool_is_diverse_and_then_sorted_by_score():
    # items 10 and 11 are copies; scaled relevance 1, .9+, .., so the pool of 2 takes 10 and 12
    vectors = [[[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]]]
    got = Order(DIM, pool=2, diversity_lambda=0.5)(request([[2.0, 1.9, 1.5]], top_k=2, vectors=vectors))
    assert got["ranked_rows"].tolist() == [[10, 12]]


def test_top_k_above_the_pool_widens_it():
    got = Order(DIM, pool=1, diversity_lambda=0.5)(request([[3.0, 2.0, 1.0]], top_k=3))
    assert sorted(got["ranked_rows"][0]) == [10, 11, 12]


def test_sampling_draws_from_the_pool_only_and_names_its_propensity():
    order = Order(DIM, pool=2, diversity_lambda=0)
    batch = request([[1.0, 0.0, -9.0]] * 200, top_k=1, temperature=1.0)
    batch["seed"][:, 0] = np.arange(200)
    got = order(batch)
    share = {10: expit(1.0), 11: expit(-1.0)}  # softmax over two logits that differ by 1
    for row, propensity in zip(got["ranked_rows"][:, 0], got["propensities"][:, 0], strict=True):
        assert propensity == pytest.approx(share[row], rel=1e-5)
    assert 0.63 < (got["ranked_rows"] == 10).mean() < 0.83


def test_sigmoid_is_scipy_s_and_silent_at_the_ends():
    values = np.array([-np.inf, -800.0, -20.0, 0.0, 3.0, 900.0])
    with np.errstate(all="raise"):
        np.testing.assert_allclose(sigmoid(values), expit(values), atol=1e-15)


def relevance_of(logits, rows, least):
    relevance, valid = np.empty((1, len(logits))), np.empty((1, len(logits)), dtype=bool)
    relevances(np.array([rows]), np.array([logits], dtype=np.float32), least, relevance, valid)
    return relevance[0], valid[0].tolist()


def test_relevance_is_the_score_scaled_over_those_that_stay():
    relevance, valid = relevance_of([0.0, 2.0, 1.0, -3.0, 9.0, -np.inf], [5, 6, 7, 8, -1, 9], 0.4)
    assert valid == [True, True, True, False, False, False]
    expected = (expit(1.0) - expit(0.0)) / (expit(2.0) - expit(0.0))
    np.testing.assert_allclose(relevance[:3], [0, 1, expected], rtol=1e-6)


def test_relevance_of_equal_scores_is_one():
    assert relevance_of([0.3, 0.3], [5, 6], 0.0)[0].tolist() == [1, 1]


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.5, 2.0]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(1, 9),
)
def test_a_list_is_a_subset_without_duplicates(seed, temperature, weight, top_k):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(3, 8))
    logits[rng.random((3, 8)) < 0.3] = -np.inf
    batch = request(logits, top_k=top_k, temperature=temperature, seed=seed, vectors=rng.normal(size=(3, 8, DIM)))
    got = Order(DIM, pool=5, diversity_lambda=weight)(batch)
    for rows, scores, candidates in zip(got["ranked_rows"], got["scores"], batch["candidate_rows"], strict=True):
        listed = rows[rows >= 0].tolist()
        assert len(listed) == len(set(listed)) == min(top_k, (candidates >= 0).sum(), max(5, top_k))
        assert set(listed) <= set(candidates[candidates >= 0].tolist())
        if temperature == 0:
            assert (np.diff(scores[rows >= 0]) <= 0).all()


@given(st.integers(0, 2**32 - 1))
def test_weight_zero_at_temperature_zero_is_the_ranker_s_order(seed):
    logits = np.random.default_rng(seed).normal(size=(2, 8)).astype(np.float32)
    got = Order(DIM, pool=3, diversity_lambda=0)(request(logits, top_k=8))["ranked_rows"]
    assert got.tolist() == (np.argsort(-logits, axis=1, kind="stable") + 10).tolist()
