"""The nearest items of a query vector."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.errors import ArtifactError
from ....core.kernel import (
    BOOL,
    FLOAT32,
    INT64,
    kernel,
    read,
    write,
)
from ....core.signature import Columns, ColumnSpec, Signature
from .base import Op

SMALLEST_MARGIN = 16
"""Least number of extra items that an HNSW search asks for if a user has seen any."""
Rows = NDArray[np.int64]


@dataclass
class Retrieve(Op):
    """Search ``index.faiss`` by inner product for ``topk`` items, and one more for each item that the user has seen.

    query float32 [B, dim], seen_rows int64 [B, S] -> retrieved_rows int64 [B, R], best first, padded with -1;
    R = min(items, topk + largest number of seen items in the batch). nprobe and efSearch are those saved with the
    index. The index is memory-mapped, so that processes share one copy.

    The result of a row does not depend on the other rows of the batch. A flat or IVF search covers the same vectors
    whatever number of results is asked for, so one search serves all rows. The coverage of an HNSW search depends on
    that number, so rows are searched in groups with the same number, which depends only on the row.
    """

    topk: int
    dim: int
    """Length of the query vectors."""

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

        count_wanted.compile()
        cut.compile()
        faiss.omp_set_num_threads(1)
        # With 20 or more queries faiss would use BLAS, whose sums differ in the last bits.
        faiss.cvar.distance_compute_blas_threshold = np.iinfo(np.int32).max
        # Not IO_FLAG_MMAP: with that an IVF index starts 32 prefetch threads for each search.
        self.index = faiss.read_index(str(folder / "index.faiss"), faiss.IO_FLAG_MMAP_IFC)
        if self.index.d != self.dim:
            raise ArtifactError(f"index.faiss: expected vectors of {self.dim} dims, has {self.index.d}")

    def __call__(self, columns: Columns) -> Columns:
        query, seen = np.ascontiguousarray(columns["query"]), np.ascontiguousarray(columns["seen_rows"])
        wanted = np.empty(len(query), dtype=np.int64)
        width = count_wanted(seen, self.topk, self.index.ntotal, wanted)
        find = self._in_groups if hasattr(self.index, "hnsw") else self._at_once
        return {"retrieved_rows": find(query, wanted, width)}

    def _at_once(self, query: NDArray[np.float32], wanted: Rows, width: int) -> Rows:
        """One search for all rows; int64 [B, width].

        If the last items of a row tie, which of them are found depends on the number asked for. Such rows are searched
        again for the number that they would ask for alone.
        """
        scores, rows = self.index.search(query, min(width + 1, self.index.ntotal))
        found, again = np.empty((len(query), width), dtype=np.int64), np.empty(len(query), dtype=np.bool_)
        if cut(scores, rows, wanted, found, again):
            for row in np.flatnonzero(again):
                count = int(wanted[row])
                found[row, :count] = self.index.search(query[row : row + 1], count + 1)[1][0, :count]
        return found

    def _in_groups(self, query: NDArray[np.float32], wanted: Rows, width: int) -> Rows:
        """One search for each group of rows that ask for the same number; int64 [B, width]."""
        asked = np.minimum(self.topk + margin(wanted - self.topk), self.index.ntotal)
        found = np.full((len(query), width), -1, dtype=np.int64)
        for count in np.unique(asked):
            group = asked == count
            _, rows = self.index.search(query[group], int(count))
            found[group, : min(count, width)] = rows[:, :width]
        found[np.arange(width) >= wanted[:, None]] = -1
        return found


@kernel((read(INT64, 2), INT64, INT64, write(INT64, 1)))
def count_wanted(seen: Rows, topk: int, items: int, wanted: Rows) -> int:
    """Fill ``wanted`` [B] with ``topk`` plus the number of entries in each row of ``seen`` [B, S], at most ``items``.

    Returns:
        the largest of them, and not less than for a user who has seen nothing.
    """
    most = min(topk, items)
    for user in range(len(wanted)):
        count = topk
        for row in seen[user]:
            count += row >= 0
        wanted[user] = min(count, items)
        most = max(most, wanted[user])
    return most


@kernel((read(FLOAT32, 2), read(INT64, 2), read(INT64, 1), write(INT64, 2), write(BOOL, 1)))
def cut(scores: NDArray[np.float32], rows: Rows, wanted: Rows, found: Rows, again: NDArray[np.bool_]) -> bool:
    """Fill ``found`` [B, R] with the first ``wanted`` [B] of ``rows`` [B, A], then with -1.

    ``again`` [B] is set for rows that wanted fewer results than were asked for and end in a tie: the first result left
    out has the same score as the last one kept.

    Returns:
        whether it is set for any row.
    """
    asked, some = rows.shape[1], False
    for user in range(len(found)):
        count = wanted[user]
        found[user, :count] = rows[user, :count]
        found[user, count:] = -1
        again[user] = count + 1 < asked and rows[user, count] >= 0 and scores[user, count - 1] == scores[user, count]
        some |= again[user]
    return some


def margin(extra: Rows) -> Rows:
    """``extra`` [B] rounded up to 0, 16, 32, 64, ...: few different numbers make few groups."""
    rounded = 2 ** np.ceil(np.log2(np.maximum(extra, SMALLEST_MARGIN))).astype(np.int64)
    return np.where(extra > 0, rounded, 0)
