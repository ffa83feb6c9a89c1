"""What every index type has to hold, as a test class to inherit from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ..ensemble.graph.ops import Retrieve
from ..models.index.vector_index import IndexType, build_registered

ITEMS, DIM, QUERIES = 2000, 16, 32


class IndexContract:
    """Inherit from it and set ``build`` (wrap a function in ``staticmethod``).

    The tests check that

    - the index is FAISS's, by inner product, with all vectors in their order,
    - it gives the same after it was written and read as the request graph reads it,
    - what a user is retrieved does not depend on the batch,
    - it finds at least ``recall`` of the exact nearest ``topk``,
    - the vectors are not changed.
    """

    build: IndexType
    recall = 0.8
    """Share of the exact nearest ``topk`` that it must find, of 2,000 random vectors of 16 dims."""
    topk = 10

    @pytest.fixture
    def vectors(self) -> NDArray[np.float32]:
        return _unit(ITEMS, 0)

    @pytest.fixture
    def queries(self) -> NDArray[np.float32]:
        return _unit(QUERIES, 1)

    @pytest.fixture
    def index(self, vectors: NDArray[np.float32]) -> Any:
        before = vectors.copy()
        made = build_registered(vectors, type(self).build)
        np.testing.assert_array_equal(vectors, before)
        return made

    def test_finds_what_is_near(self, index: Any, vectors: Any, queries: Any) -> None:
        exact = np.argsort(-(queries @ vectors.T), axis=1)[:, : self.topk]
        _, found = index.search(queries, self.topk)
        shares = [len({*a} & {*b}) / self.topk for a, b in zip(exact.tolist(), found.tolist(), strict=True)]
        assert np.mean(shares) >= self.recall

    def test_rows_are_those_of_the_vectors(self, index: Any, vectors: Any) -> None:
        _, found = index.search(vectors[:QUERIES], 1)
        assert (found[:, 0] == np.arange(QUERIES)).mean() >= self.recall

    def test_the_request_graph_can_read_it(self, index: Any, queries: Any, tmp_path: Path) -> None:
        op, seen = self._served(index, tmp_path), np.full((QUERIES, 1), -1)
        rows = op({"query": queries, "seen_rows": seen})["retrieved_rows"]
        _, found = index.search(queries, self.topk)
        np.testing.assert_array_equal(rows[:, : self.topk], found)

    def test_a_user_does_not_depend_on_the_batch(self, index: Any, queries: Any, tmp_path: Path) -> None:
        op = self._served(index, tmp_path)
        seen = np.where(np.arange(8) < np.arange(QUERIES)[:, None] % 9, np.arange(8), -1)
        together = op({"query": queries, "seen_rows": seen})["retrieved_rows"]
        for row in range(QUERIES):
            own = op({"query": queries[row : row + 1], "seen_rows": seen[row : row + 1]})["retrieved_rows"][0]
            np.testing.assert_array_equal(together[row][: len(own)], own)
            assert (together[row][len(own) :] == -1).all()

    def _served(self, index: Any, folder: Path) -> Retrieve:
        import faiss

        faiss.write_index(index, str(folder / "index.faiss"))
        op = Retrieve(self.topk, DIM)
        op.load(folder)
        return op


def _unit(count: int, seed: int) -> NDArray[np.float32]:
    """[count, DIM], of length 1."""
    found = np.random.default_rng(seed).normal(size=(count, DIM))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)
