"""The nearest items of a query vector."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ArtifactError
from ...core.signature import Columns, ColumnSpec, Signature
from .base import Op

SMALLEST_MARGIN = 16


@dataclass
class Retrieve(Op):
    """Search ``index.faiss`` by inner product for ``topk`` items and one more for each that the user has seen.

    query float32 [B, dim], seen_rows int64 [B, S] -> retrieved_rows int64 [B, R], best first, -1 padded;
    R = min(items, topk + most seen in the batch). nprobe and efSearch are those saved with the index.

    What a row gets does not depend on its batch: how far an HNSW search looks depends on the number asked for, so
    rows are searched in groups of one number, which follows from the row alone.
    """

    topk: int
    dim: int

    kind: ClassVar[str] = "retrieve"
    index: Any = field(init=False, repr=False, compare=False)

    @property
    def reads(self) -> Signature:
        return {"query": ColumnSpec("float32", (self.dim,)), "seen_rows": ColumnSpec("int64", ("S",))}

    @property
    def writes(self) -> Signature:
        return {"retrieved_rows": ColumnSpec("int64", ("R",))}

    def load(self, folder: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        # From 20 queries on, faiss would go over to BLAS, whose sums differ in the last bits.
        faiss.cvar.distance_compute_blas_threshold = np.iinfo(np.int32).max
        self.index = faiss.read_index(str(folder / "index.faiss"))
        if self.index.d != self.dim:
            raise ArtifactError(f"index.faiss: expected vectors of {self.dim} dims, has {self.index.d}")

    def __call__(self, columns: Columns) -> Columns:
        query, seen = columns["query"], columns["seen_rows"]
        wanted = np.minimum(self.topk + (seen >= 0).sum(axis=1), self.index.ntotal)
        asked = np.minimum(self.topk + margin(wanted - self.topk), self.index.ntotal)
        found = np.full((len(query), wanted.max(initial=min(self.topk, self.index.ntotal))), -1, dtype=np.int64)
        for count in np.unique(asked):
            group = asked == count
            _, rows = self.index.search(np.ascontiguousarray(query[group]), int(count))
            found[group, : min(count, found.shape[1])] = rows[:, : found.shape[1]]
        found[np.arange(found.shape[1]) >= wanted[:, None]] = -1
        return {"retrieved_rows": found}


def margin(extra: NDArray[np.int64]) -> NDArray[np.int64]:
    """``extra`` [B] rounded up to 0, 16, 32, 64, ...: few different numbers, so few searches."""
    rounded = 2 ** np.ceil(np.log2(np.maximum(extra, SMALLEST_MARGIN))).astype(np.int64)
    return np.where(extra > 0, rounded, 0)
