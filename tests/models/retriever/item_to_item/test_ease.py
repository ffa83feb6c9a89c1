"""EASE with few weights: the closed form, which weights are kept, and how much is counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.sparse import csr_matrix

from cascade.models.retriever.item_to_item import ease as module
from cascade.models.retriever.item_to_item.ease import co_occurrences, ease, most_counts, strongest

LOG = csr_matrix((np.random.default_rng(0).random((60, 12)) < 0.3).astype(np.float32))


def closed_form(counts, regularization):
    """Steck's B of a dense X'X [C, C]."""
    inverse = np.linalg.inv(counts + regularization * np.eye(len(counts)))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def test_with_all_items_as_neighbours_it_is_ease():
    counts = co_occurrences(LOG, 0, 0)
    found = ease(counts, 12, 5.0)
    np.testing.assert_allclose(found.toarray(), closed_form(counts.toarray(), 5.0), atol=1e-5)
    assert found.dtype == np.float32


def test_of_each_item_the_nearest_by_cosine_explain_it():
    """By hand: item 0 has items 1 and 2, of which 2 is nearer by cosine although 1 is there more often."""
    counts = np.array([[9, 4, 3, 0], [4, 64, 0, 0], [3, 0, 4, 0], [0, 0, 0, 1]], np.float32)
    found = ease(csr_matrix(counts), 1, 2.0).toarray()
    assert found[2, 0] == pytest.approx(3 / (4 + 2))  # cosines: 3 / sqrt(9 * 4) = .5, and 4 / sqrt(9 * 64) = .17
    assert found[0, 1] == pytest.approx(4 / (9 + 2))
    assert found[0, 2] == 0  # 3 / (9 + 2), but a row keeps one weight, the largest
    assert not found[3].any() and not found[:, 3].any()


def test_neighbours_explain_an_item_together():
    counts = np.array([[5, 3, 3], [3, 6, 2], [3, 2, 7]], np.float32)
    found = ease(csr_matrix(counts), 2, 1.0).toarray()
    np.testing.assert_allclose(found[1:, 0], np.linalg.solve([[7, 2], [2, 8]], [3, 3]), rtol=1e-6)


def test_columns_are_solved_in_blocks(monkeypatch):
    counts = co_occurrences(LOG, 0.25, 0)
    whole = ease(counts, 5)
    monkeypatch.setattr(module, "BLOCK", 60)
    np.testing.assert_allclose(ease(counts, 5).toarray(), whole.toarray(), atol=1e-6)


def test_users_with_many_items_count_less():
    log = csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 1, 1]], np.float32))
    found = co_occurrences(log, 0.5, 0).toarray()
    assert found[0, 1] == pytest.approx(3 / 2 + 3 / 4)  # a user with n items counts 3 / n, 3 being the mean of n
    assert found[2, 3] == pytest.approx(3 / 4)


def test_without_weights_pairs_are_counted():
    np.testing.assert_array_equal(co_occurrences(LOG, 0, 0).toarray(), (LOG.T @ LOG).toarray())


def test_of_a_user_with_very_many_items_some_are_counted(monkeypatch):
    monkeypatch.setattr(module, "MOST_OF_USER", 3)
    log = csr_matrix(np.array([[1] * 10, [1, 1] + [0] * 8], np.float32))
    found = co_occurrences(log, 0, 0)
    assert found.diagonal().sum() == 3 + 2


def test_pairs_are_counted_of_as_many_users_as_fit(monkeypatch):
    monkeypatch.setattr(module, "MOST_PAIRS", 30)
    log = csr_matrix(np.ones((100, 3), np.float32))
    assert co_occurrences(log, 0, 0).toarray().tolist() == [[3.0] * 3] * 3  # 3 users of 9 pairs


@given(npst.arrays(np.float32, (4, 6), elements=st.integers(-3, 3)), st.integers(1, 6))
def test_a_row_keeps_its_strongest(dense, kept):
    found = strongest(csr_matrix(dense), kept).toarray()
    assert ((found == dense) | (found == 0)).all()
    for own, left in zip(found, dense, strict=True):
        expected = np.sort(np.abs(left))[::-1][:kept]
        np.testing.assert_array_equal(np.sort(np.abs(own[own != 0]))[::-1], expected[expected > 0])


def test_no_positives_are_no_weights():
    empty = csr_matrix((3, 4), dtype=np.float32)
    assert ease(co_occurrences(empty, 0.25, 0), 2).nnz == 0


@pytest.mark.parametrize("most", [20, 10**9])
def test_no_more_pairs_are_counted_than_the_estimate_says(monkeypatch, most):
    monkeypatch.setattr(module, "MOST_COUNTS", most)
    sizes = np.diff(LOG.indptr)
    assert 0 < co_occurrences(LOG, 0, 0).nnz <= most_counts(sizes, 12) <= min(most, 144)
