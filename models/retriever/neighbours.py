"""Sparse item-item weights beside the vectors: score = query . item + what the items of the history say for it.

Where interactions are few, most of what a catalogue tells is which two items go together, and no vectors of a hundred
numbers hold that (Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019). So each item keeps its
strongest neighbours as they are.

Shapes: B requests, N entries of a history, C item codes, n_items rows of the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FILE = "neighbours.npz"


@dataclass(frozen=True)
class Neighbours:
    """What is added to the inner products of queries and items.

    score(history, item) = sum over n of decay^n weights[history[n], item] / sqrt(entries of the history), the newest
    entry being n = 0.
    """

    weights: csr_matrix
    """float32 [C, n_items], on the scale of the inner products; the rows of codes of no single item are empty."""
    decay: float = 1.0
    """Factor by which an entry of the history counts less than the next newer one; 1 for histories without order."""

    def scores(self, history: NDArray[np.integer[Any]]) -> csr_matrix:
        """float32 [B, n_items] of histories [B, N] of item codes, newest first, padded with 0."""
        from scipy.sparse import csr_matrix

        there = history > 0
        count = there.sum(axis=1)
        weight = self.decay ** (np.cumsum(there, axis=1) - 1) / np.sqrt(np.maximum(count, 1))[:, None]
        requests, _ = np.nonzero(there)
        cells = (weight[there].astype(np.float32), (requests, history[there]))
        return (csr_matrix(cells, shape=(len(history), self.weights.shape[0])) @ self.weights).tocsr()

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
