"""Sparse matrices of users and items."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from cascade.models.retriever.user_items import contains, user_items, without
from cascade.models.training.rows import Events


def test_an_item_counts_once_whatever_its_label():
    events = Events(np.array([0, 0, 1], "i4"), np.array([2, 2, 0], "i4"), np.array([1, 0, 0], "f4"), {})
    got = user_items(events, (3, 3))
    assert got.dtype == bool
    assert got.toarray().tolist() == [[False, False, True], [True, False, False], [False, False, False]]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_contains_is_membership(seed):
    rng = np.random.default_rng(seed)
    dense = rng.random((4, 9)) < rng.random()
    ask = rng.integers(0, 9, (4, 6)).astype(np.int32)
    assert (contains(csr_matrix(dense), ask) == np.take_along_axis(dense, ask, axis=1)).all()


def test_without_clears_one_entry_of_each_row():
    dense = np.array([[True, True, False], [True, False, True]])
    got = without(csr_matrix(dense), np.array([1, 1], np.int32)).toarray()
    assert got.tolist() == [[True, False, False], [True, False, True]]
    assert dense.all(axis=1).tolist() == [False, False] and dense[0, 1]
