"""Sparse matrices of users and items."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from cascade.models.retriever.user_items import UserItems, user_items
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
    ask = rng.integers(0, 9, (7, 6)).astype(np.int32)
    users, own = rng.integers(0, 4, 7), rng.integers(0, 9, 7)
    found = UserItems(csr_matrix(dense), users)
    assert (found.contains(ask) == np.take_along_axis(dense[users], ask, axis=1)).all()
    assert found.counts().tolist() == dense[users].sum(axis=1).tolist()
    left = dense[users]
    left[np.arange(7), own] = False
    at = rng.permutation(7)[:3]
    found = UserItems(csr_matrix(dense), users, without=own).take(at)
    assert (found.contains(ask[at]) == np.take_along_axis(left[at], ask[at], axis=1)).all()
