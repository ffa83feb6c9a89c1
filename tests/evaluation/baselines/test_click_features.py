"""Target encoding, compared with its formula."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from cascade.evaluation.baselines.click_features import (
    FOLDS,
    PRIOR,
    ClickTable,
    encode,
)


def test_codes_are_encoded_by_the_labels_of_the_other_folds():
    codes, label = np.array([1, 1, 1, 2]), np.array([1, 0, 1, 0], "f4")
    train = csr_matrix(np.eye(3)[codes])
    asked = csr_matrix(np.array([[0, 1, 0], [0, 1, 1], [0, 0, 0]], float))
    first, other = encode([train, asked], label, np.array([0, 0, 1, 1]))
    prior = PRIOR * 0.5
    assert first == pytest.approx(
        [(1 + prior) / (1 + PRIOR), (1 + prior) / (1 + PRIOR), (1 + prior) / (2 + PRIOR), prior / PRIOR]
    )
    known = [(2 + prior) / (3 + PRIOR), (0 + prior) / (1 + PRIOR)]
    assert other == pytest.approx([known[0], sum(known) / 2, 0.5])


@given(st.integers(0, 2**32 - 1), st.integers(5, 60))
@settings(max_examples=30)
def test_a_row_is_never_encoded_by_its_own_label(seed, n):
    rng = np.random.default_rng(seed)
    codes = csr_matrix(np.eye(4)[rng.integers(4, size=n)])
    label, fold = (rng.random(n) < 0.5).astype("f4"), rng.integers(FOLDS, size=n)
    own = fold == fold[0]
    flipped = np.where(own, label[::-1], label)  # the fold's labels in another order, if their mean stays
    if own.any() and flipped.mean() == label.mean():
        assert encode([codes], flipped, fold)[0][own] == pytest.approx(encode([codes], label, fold)[0][own])


def test_a_table_keeps_parts_and_names_together():
    table = ClickTable([[], []])
    table.add("age", [np.array([1, 2]), np.array([3])])
    table.add("city", [np.array([4, 5]), np.array([6])], categorical=True)
    assert [part.tolist() for part in table.matrices()] == [[[1, 4], [2, 5]], [[3, 6]]]
    assert (table.names, table.categorical) == (["age", "city"], [1])
