"""Sparse item-item weights beside the vectors: score = query . item + what the items of the history say for it.

Where interactions are few, most of what a catalogue tells is which two items go together, and no vectors of a hundred
numbers hold that (Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019). So each item keeps its
strongest neighbours as they are.

Shapes: B requests, N entries of a history, C item codes, n_items rows of the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .item_to_item.neighbour_weights import EVERY, NeighbourWeights

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Codes = NDArray[np.integer[Any]]
FILE = "neighbours.npz"


@dataclass(frozen=True)
class Neighbours:
    """What is added to the inner products of queries and items.

    score(history, item) = weights[0, item] + sum over n of decay^n weights[history[n], item] / sqrt(entries of the
    history), the newest entry being n = 0.
    """

    weights: csr_matrix
    """float32 [C, n_items], on the scale of the inner products; row `EVERY` counts in every request, the rows of other
    codes of no single item are empty."""
    decay: float = 1.0
    """Factor by which an entry of the history counts less than the next newer one; 1 for histories without order."""

    def scores(self, history: NDArray[np.integer[Any]]) -> csr_matrix:
        """float32 [B, n_items] of histories [B, N] of item codes, newest first, padded with 0."""
        from scipy.sparse import csr_matrix

        there = history > 0
        count = there.sum(axis=1)
        weight = self.decay ** (np.cumsum(there, axis=1) - 1) / np.sqrt(np.maximum(count, 1))[:, None]
        requests, every = np.nonzero(there)[0], np.arange(len(history))
        weight = np.concatenate([weight[there], np.ones(len(history))]).astype(np.float32)
        codes = np.concatenate([history[there], np.full(len(history), EVERY)])
        cells = weight, (np.concatenate([requests, every]), codes)
        return (csr_matrix(cells, shape=(len(history), self.weights.shape[0])) @ self.weights).tocsr()

    def add(self, history: Codes, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add the scores of all items to ``scores`` [B, n_items], in place.

        Args:
            history: item codes [B, N], newest first, padded with 0.
        """
        self._by_row.add(history.astype(np.int64), scores, self.decay)
        return scores

    def at(self, history: Codes, rows: Codes) -> NDArray[np.float32]:
        """The scores [B, K] of item rows [B, K], padded with -1, for histories [B, N]."""
        return self._by_row.scores(history.astype(np.int64), rows.astype(np.int64), self.decay)

    def merged(
        self, queries: NDArray[np.float32], vectors: NDArray[np.float32], history: Codes, found: Codes, most: Codes
    ) -> NDArray[np.int64]:
        """The best items by the sum of both scores, among those that an index found and those with a weight.

        Args:
            queries: [B, D].
            vectors: [n_items, D].
            history: item codes [B, N].
            found: item rows [B, R] by the inner product, best first, padded with -1.
            most: [B], how many items to keep.

        Returns:
            item rows [B, R], best first, padded with -1.
        """
        past, listed, wanted = (part.astype(np.int64) for part in (history, found, most))
        return self._by_row.merge(queries, vectors, past, listed, wanted, self.decay)[0]

    @cached_property
    def _by_row(self) -> NeighbourWeights:
        return NeighbourWeights.of(self.weights)

    def save(self, folder: Path) -> None:
        parts = {name: getattr(self.weights, name) for name in ("data", "indices", "indptr", "shape")}
        np.savez(folder / FILE, decay=self.decay, **parts)

    @classmethod
    def load(cls, folder: Path) -> Neighbours | None:
        """The ones that ``save`` wrote into ``folder``, if any."""
        from scipy.sparse import csr_matrix

        if not (folder / FILE).is_file():
            return None
        with np.load(folder / FILE) as found:
            weights = csr_matrix((found["data"], found["indices"], found["indptr"]), shape=tuple(found["shape"]))
            return cls(weights, float(found["decay"]))


@dataclass(frozen=True)
class Reach:
    """What the histories of B requests reach, as a second source of candidates beside an index."""

    neighbours: Neighbours
    vectors: NDArray[np.float32]
    """[n_items, D], of all items."""
    history: Codes
    """[B, N]."""
