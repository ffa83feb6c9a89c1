"""Tuning of an index, compared with counting by hand and with a full sort."""

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.models.index import tuning as module
from cascade.models.index.tuning import (
    choose,
    hit_share,
    kth_score,
    least,
)


@given(st.integers(1, 300), st.integers(0, 700), st.integers(1, 300))
def test_least_is_the_first_that_reaches_to_one_part_in_fifty(lowest, more, first):
    cap = lowest + more
    got = least(lambda value: value >= first, lowest, cap)
    if first > cap:
        assert got is None
    else:
        exact = max(first, lowest)
        assert exact <= got <= min(cap, exact + 1 + exact // 24)


def test_small_values_are_found_exactly():
    assert [least(lambda value, first=first: value >= first, 1, 1000) for first in range(1, 50)] == list(range(1, 50))


def table(**columns):
    """recalls(value) of value 1, 2, ...; ``all`` is the mean of the groups."""

    def recalls(value):
        groups = {name: column[value - 1] for name, column in columns.items()}
        return {"all": sum(groups.values()) / len(groups), **groups}

    return recalls


@pytest.mark.parametrize(
    ("known", "unknown", "expected"),
    [
        ([0.8, 0.95, 0.99, 1.0], [0.8, 0.95, 0.99, 1.0], 2),
        ([0.9, 0.96, 0.99, 1.0], [0.5, 0.84, 0.9, 1.0], 3),  # 2 for all together
        ([1.0, 1.0, 1.0, 1.0, 1.0], [0.8, 0.8, 0.8, 0.8, 0.9], 1),  # 5 times as far for a group: too dear
        ([0.5, 0.6, 0.7, 0.8], [0.5, 0.6, 0.7, 0.8], 4),  # out of reach: all there is
    ],
)
def test_the_worst_group_decides_where_it_is_affordable(known, unknown, expected):
    assert choose(table(known=known, unknown=unknown), 0.9, 1, len(known)) == expected


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
@pytest.mark.parametrize("topk", [1, 5, 90])
def test_kth_score_is_that_of_sorting_everything(chunk, topk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    rng = np.random.default_rng(chunk)
    vectors, queries = (rng.normal(size=(n, 4)).astype(np.float32) for n in (90, 11))
    vectors[20:40] = vectors[0]
    expected = np.sort(queries @ vectors.T, axis=1)[:, -topk]
    np.testing.assert_allclose(kth_score(vectors, queries, topk), expected, rtol=1e-5)


def test_hits_are_counted_by_score():
    vectors = np.array([[1.0], [0.9], [0.9], [0.8], [0.7]], np.float32)
    query = np.ones((2, 1), np.float32)

    class Found:
        def search(self, queries, topk):
            # The first finds the other 0.9; the second a worse item, and one place stays empty.
            return None, np.array([[0, 2], [3, -1]])

    bar = kth_score(vectors, query, 2)
    assert bar == pytest.approx([0.9, 0.9])
    assert hit_share(Found(), vectors, query, bar, 2).tolist() == [1.0, 0.0]
    exact = faiss.IndexFlatIP(1)
    exact.add(vectors)
    assert hit_share(exact, vectors, query, bar, 2).tolist() == [1.0, 1.0]
