"""Sparse matrices of users and items."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from cascade.models.retriever.user_items import UserItems, hidden_items, user_items
from cascade.models.training.rows import Events
from cascade.workflows.etl.tensors import Interactions

ROWS = np.array([(0, 1, 0), (0, 2, 1), (0, 3, 0), (0, 3, 1), (1, 1, 0), (1, 1, 0), (1, 0, 1)])
"""User, item, positive."""


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
    known = csr_matrix(dense)
    turned = np.concatenate([known.indices[a:b][::-1] for a, b in zip(known.indptr, known.indptr[1:], strict=False)])
    unsorted = csr_matrix((known.data, turned, known.indptr), shape=dense.shape)
    assert (UserItems(unsorted, users).contains(ask) == found.contains(ask)).all()
    left = dense[users]
    left[np.arange(7), own] = False
    at = rng.permutation(7)[:3]
    found = UserItems(csr_matrix(dense), users, without=own).take(at)
    assert (found.contains(ask[at]) == np.take_along_axis(left[at], ask[at], axis=1)).all()


def interactions():
    user, item, positive = ROWS.T
    count = len(ROWS)
    return Interactions(
        user.astype("i4"),
        item.astype("i4"),
        np.arange(count),
        positive.astype(bool),
        positive.astype("f4"),
        {},
        np.zeros((count, 2), "i4"),
    )


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({}, [[1, 2, 3], [0, 1], []]),
        ({"shown_again": True}, [[2, 3], [0], []]),
        ({"keep_seen": True}, [[1], [1], []]),
        ({"shown_again": True, "keep_seen": True}, [[], [], []]),
    ],
    ids=["all that was seen", "positives", "rejected", "nothing"],
)
def test_what_is_hidden(options, rows):
    tensors = SimpleNamespace(user_ids=range(3), item_ids=range(4), interactions={"train": interactions()}.get)
    hidden = hidden_items(tensors, **options)
    assert hidden.dtype == bool and hidden.shape == (3, 4)
    assert [np.flatnonzero(row).tolist() for row in hidden.toarray()] == rows
