"""Two more sources of candidates: items that go together with those of the history, and popular items."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.errors import ArtifactError
from ....core.features import HISTORY
from ....core.signature import Columns, ColumnSpec, Signature
from ....models.retriever.item_to_item.neighbour_weights import NeighbourWeights, merge_lists
from .base import Op


@dataclass
class MergeNeighbours(Op):
    """Merge the items that the index found with popular ones, and those that the history's item-item weights reach.

    query float32 [B, dim], history int64 [B, N], retrieved_rows int64 [B, R], seen_rows int64 [B, S]
    -> retrieved_rows int64 [B, R], best first by the sum of inner product and item-item score, padded with -1;
    source_rows int64 [B, R], the same, because registered ops may change ``retrieved_rows``; retrieved_sources int64
    [B, R], for each of ``source_rows`` the sum of 1 (the index), 2 (the weights) and 4 (popular), 0 for padding.

    Every row keeps as many as the index was asked for: ``topk``, and one for each item that the user has seen. With an
    exact index and weights that are not negative they are the best of all items, because one that is in neither list
    scores at most what the last one that the index found does. Where no weight is reached the list stays as it is.

    Loads ``item_vectors.npy`` [items, dim] and the files of `NeighbourWeights`, memory-mapped.
    """

    topk: int
    dim: int
    """Length of the item vectors."""
    history: int
    """Length N of the history."""
    decay: float = 1.0
    """See `models.retriever.neighbours.Neighbours`."""

    kind: ClassVar[str] = "merge_neighbours"
    weights: NeighbourWeights = field(init=False, repr=False, compare=False)
    vectors: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    @property
    def reads(self) -> Signature:
        return {
            "query": ColumnSpec("float32", (self.dim,)),
            HISTORY: ColumnSpec("int64", (self.history,)),
            "retrieved_rows": ColumnSpec("int64", ("R",)),
            "seen_rows": ColumnSpec("int64", ("S",)),
        }

    @property
    def writes(self) -> Signature:
        return dict.fromkeys(("retrieved_rows", "source_rows", "retrieved_sources"), ColumnSpec("int64", ("R",)))

    def load(self, folder: Path) -> None:
        self.vectors = np.asarray(np.load(folder / "item_vectors.npy", mmap_mode="r"))
        if self.vectors.dtype != np.float32 or self.vectors.shape[1:] != (self.dim,):
            found = f"{self.vectors.dtype}{list(self.vectors.shape)}"
            raise ArtifactError(f"item_vectors.npy: expected float32[items, {self.dim}], holds {found}")
        self.weights = NeighbourWeights.open(folder)
        last = int(self.weights.row.max(initial=-1))
        if last >= len(self.vectors):
            raise ArtifactError(f"neighbour_row.npy: names item row {last}, item_vectors.npy has {len(self.vectors)}")
        merge_lists.compile()

    def __call__(self, columns: Columns) -> Columns:
        query, history, found, seen = (columns[name] for name in self.reads)
        most = self.topk + (seen >= 0).sum(axis=1, dtype=np.int64)
        rows, sources = self.weights.merge(query, self.vectors, history, found, most, self.decay)
        return {"retrieved_rows": rows, "source_rows": rows, "retrieved_sources": sources}
