"""Merging both sources of candidates, against scores of all items."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from cascade.core.errors import ArtifactError
from cascade.ensemble.graph.ops.merge_neighbours import MergeNeighbours
from cascade.models.retriever.item_to_item.neighbour_weights import NeighbourWeights
from cascade.testing.op_contract import OpContract

ITEMS, CODES, DIM, LENGTH = 12, 14, 3, 4
"""The code of an item is its row + 2; code 1 is of no single item."""


def made(folder, weights, vectors, topk=3, decay=1.0):
    """The op with weights [CODES, ITEMS] and vectors [ITEMS, DIM]."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "item_vectors.npy", np.asarray(vectors, np.float32))
    NeighbourWeights.of(csr_matrix(np.asarray(weights, np.float32))).save(folder)
    op = MergeNeighbours(topk, DIM, LENGTH, decay)
    op.load(folder)
    return op


def columns(query, history, retrieved, seen=None):
    seen = np.full((len(query), 1), -1) if seen is None else seen
    return {
        "query": np.asarray(query, np.float32),
        "history": np.asarray(history, np.int64),
        "retrieved_rows": np.asarray(retrieved, np.int64),
        "seen_rows": np.asarray(seen, np.int64),
    }


def going_with(code, **items):
    """Weights of one code."""
    weights = np.zeros((CODES, ITEMS))
    for name, weight in items.items():
        weights[code, int(name[1:])] = weight
    return weights


FALLING = np.stack([np.arange(ITEMS, 0, -1), np.zeros(ITEMS), np.zeros(ITEMS)], axis=1)
"""Item i has the inner product ITEMS - i with this query."""
ALONG = [[1, 0, 0]]


class TestMergeNeighbours(OpContract):
    def make_op(self, folder):
        rng = np.random.default_rng(0)
        weights = rng.random((CODES, ITEMS)) * (rng.random((CODES, ITEMS)) < 0.3)
        return made(folder, weights, rng.normal(size=(ITEMS, DIM)), decay=0.7)

    def make_batch(self):
        query = np.random.default_rng(1).normal(size=(4, DIM))
        history = [[5, 0, 0, 0], [0, 0, 0, 0], [4, 9, 4, 13], [1, 2, 0, 0]]
        retrieved = [[7, 2, 1, -1, -1], [3, 9, 0, -1, -1], [0, 11, 3, 4, 2], [5, 6, 7, 8, -1]]
        return columns(query, history, retrieved, [[-1, -1], [-1, -1], [2, 3], [0, -1]])


def test_an_item_that_only_the_history_knows_is_placed_by_the_sum(tmp_path):
    op = made(tmp_path, going_with(2, i9=6.5), FALLING)  # item 9: 3 + 6.5, between items 2 (10) and 3 (9)
    got = op(columns(ALONG, [[2, 0, 0, 0]], [[0, 1, 2]]))
    assert got["retrieved_rows"].tolist() == [[0, 1, 2]]
    got = made(tmp_path, going_with(2, i9=7.5, i0=1), FALLING)(columns(ALONG, [[2, 0, 0, 0]], [[0, 1, 2]]))
    assert got["retrieved_rows"].tolist() == got["source_rows"].tolist() == [[0, 1, 9]]
    assert got["retrieved_sources"].tolist() == [[3, 1, 2]]


def test_older_items_count_less_and_many_items_less_each(tmp_path):
    weights = going_with(2, i10=16) + going_with(3, i11=16)
    history = [[2, 3, 0, 0], [3, 2, 0, 0]]
    got = made(tmp_path, weights, FALLING, topk=1, decay=0.5)(columns(ALONG * 2, history, [[0], [0]]))
    # 16 / sqrt(2) + 2 = 13.3 for what goes with the newest; half of it, 7.7, for the other; item 0 has 12
    assert got["retrieved_rows"].tolist() == [[10], [11]]


@pytest.mark.parametrize("history", [[0, 0, 0, 0], [1, 7, 0, 0]], ids=["empty", "without weights"])
def test_the_list_of_the_index_stays_where_no_weight_is_reached(tmp_path, history):
    op = made(tmp_path, going_with(2, i9=7.5), FALLING)
    got = op(columns(ALONG, [history], [[4, 1, -1]]))
    assert got["retrieved_rows"].tolist() == [[4, 1, -1]]
    assert got["retrieved_sources"].tolist() == [[1, 1, 0]]


def test_ties_are_in_the_order_of_rows_and_an_item_occurs_once(tmp_path):
    op = made(tmp_path, going_with(2, i9=1, i8=2, i1=0.5), FALLING, topk=6)
    retrieved = [[7, 6, 1, 0, -1, -1]]
    # items 7: 5, 6: 6, 1: 11.5, 0: 12, 8: 4 + 2, 9: 3 + 1
    got = op(columns(ALONG, [[2, 0, 0, 0]], retrieved))
    assert got["retrieved_rows"].tolist() == [[0, 1, 6, 8, 7, 9]]
    assert got["retrieved_sources"].tolist() == [[1, 3, 1, 2, 1, 2]]


def test_an_index_that_finds_nothing_is_filled_up(tmp_path):
    op = made(tmp_path, going_with(2, i9=1, i8=1), FALLING)
    got = op(columns(ALONG, [[2, 0, 0, 0]], [[-1, -1, -1]]))
    assert got["retrieved_rows"].tolist() == [[8, 9, -1]]


def test_a_row_keeps_as_many_as_it_asked_for_whatever_its_batch(tmp_path):
    op = made(tmp_path, going_with(2, i9=20, i8=20), FALLING, topk=2)
    got = op(columns(ALONG * 2, [[2, 0, 0, 0]] * 2, [[0, 1, -1], [0, 1, 2]], [[-1], [4]]))
    assert got["retrieved_rows"].tolist() == [[8, 9, -1], [8, 9, 0]]


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    op = made(tmp_path, going_with(2, i9=1), FALLING)
    np.save(tmp_path / "item_vectors.npy", FALLING[:5].astype(np.float32))
    with pytest.raises(ArtifactError, match="names item row 9, item_vectors.npy has 5"):
        op.load(tmp_path)
    np.save(tmp_path / "item_vectors.npy", FALLING)
    with pytest.raises(ArtifactError, match=r"expected float32\[items, 3\], holds float64\[12, 3\]"):
        op.load(tmp_path)


def test_weights_are_memory_mapped(tmp_path):
    op = made(tmp_path, going_with(2, i9=1), FALLING)
    assert all(isinstance(array.base, np.memmap) for array in (*vars(op.weights).values(), op.vectors))


numbers = st.integers(0, 3)
entries = st.integers(1, CODES - 1)
histories = st.one_of(st.just([]), st.lists(entries, min_size=1, max_size=1), st.lists(entries, min_size=4, max_size=4))
"""One or four items, whose square roots are exact in floating point."""


@st.composite
def requests(draw):
    low = draw(st.sampled_from([0, -3]))
    cells = draw(
        st.lists(st.tuples(st.integers(0, CODES - 1), st.integers(0, ITEMS - 1), st.integers(low, 3)), max_size=40)
    )
    weights = np.zeros((CODES, ITEMS))
    for code, item, weight in cells:
        weights[code, item] = weight
    vectors = np.array(draw(st.lists(numbers, min_size=ITEMS * DIM, max_size=ITEMS * DIM))).reshape(ITEMS, DIM)
    users = draw(st.lists(st.tuples(histories, st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=4))
    history = np.array([entry + [0] * (LENGTH - len(entry)) for entry, _, _ in users])
    query = np.array([[1, along, -1] for _, along, _ in users])
    seen = np.array([[row if row < count else -1 for row in range(5)] for _, _, count in users])
    return weights, vectors, query, history, seen


@pytest.mark.slow
@given(requests(), st.integers(1, 14), st.sampled_from([1.0, 0.5]))
def test_is_the_best_of_all_items_by_brute_force(tmp_path_factory, request_, topk, decay):
    weights, vectors, query, history, seen = request_
    products, wanted = query @ vectors.T, np.minimum(topk + (seen >= 0).sum(axis=1), ITEMS)
    retrieved = np.full((len(query), wanted.max()), -1)
    for row, (product, count) in enumerate(zip(products, wanted, strict=True)):
        retrieved[row, :count] = np.lexsort((np.arange(ITEMS), -product))[:count]
    op = made(tmp_path_factory.mktemp("op"), weights, vectors, topk, decay)
    got = op(columns(query, history, retrieved, seen))
    added = np.zeros(products.shape)
    for row, own in enumerate(history):
        added[row] += weights[0]
        for age, code in enumerate(own[own > 0]):
            added[row] += decay**age * weights[code] / np.sqrt((own > 0).sum())
    for row, (own, count) in enumerate(zip(added + products, wanted, strict=True)):
        reached = (weights[history[row][history[row] > 0]] != 0).any(axis=0)
        found = np.isin(np.arange(ITEMS), retrieved[row])
        popular = weights[0] != 0
        rows = np.arange(ITEMS) if (weights >= 0).all() else np.flatnonzero(reached | popular | found)
        best = rows[np.lexsort((rows, -own[rows]))][:count]
        assert got["retrieved_rows"][row].tolist() == [*best, *[-1] * (retrieved.shape[1] - count)]
        assert got["retrieved_sources"][row, :count].tolist() == (1 * found + 2 * reached + 4 * popular)[best].tolist()
    listed = got["retrieved_rows"]
    scores = op.weights.scores(history, listed, decay)
    assert np.array_equal(scores, np.where(listed < 0, 0, np.take_along_axis(added, np.maximum(listed, 0), axis=1)))
