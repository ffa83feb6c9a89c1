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
Rows = NDArray[np.int64]


@dataclass
class Retrieve(Op):
    """Search ``index.faiss`` by inner product for ``topk`` items and one more for each that the user has seen.

    query float32 [B, dim], seen_rows int64 [B, S] -> retrieved_rows int64 [B, R], best first, -1 padded;
    R = min(items, topk + most seen in the batch). nprobe and efSearch are those saved with the index, which is
    memory-mapped: processes share one copy of it.

    What a row gets does not depend on its batch. Flat and IVF indexes look as far for any number asked for, so one
    search serves all rows. How far an HNSW search looks depends on that number, so rows are searched in groups of
    one number, which follows from the row alone.
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

        count_wanted.compile()
        cut.compile()
        faiss.omp_set_num_threads(1)
        # From 20 queries on, faiss would go over to BLAS, whose sums differ in the last bits.
        faiss.cvar.distance_compute_blas_threshold = np.iinfo(np.int32).max
        # Not IO_FLAG_MMAP: with it an IVF index starts 32 threads for each search, to read ahead.
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
        """int64 [B, width].

        Of items with equal scores at the end of a row, which ones come in depends on the number asked for; such rows
        are searched again for as many as they would ask for alone.
        """
        scores, rows = self.index.search(query, min(width + 1, self.index.ntotal))
        found, again = np.empty((len(query), width), dtype=np.int64), np.empty(len(query), dtype=np.bool_)
        if cut(scores, rows, wanted, found, again):
            for row in np.flatnonzero(again):
                count = int(wanted[row])
                found[row, :count] = self.index.search(query[row : row + 1], count + 1)[1][0, :count]
        return found

    def _in_groups(self, query: NDArray[np.float32], wanted: Rows, width: int) -> Rows:
        """int64 [B, width]."""
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
    """Fill ``wanted`` [B] with ``topk`` and the entries of each row of ``seen`` [B, S], at most ``items``.

    Returns:
        The most of them, at least what a user wants who has seen nothing.
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
    """Fill ``found`` [B, R] with the first ``wanted`` [B] of ``rows`` [B, A], then -1.

    ``again`` [B] is set for rows that wanted fewer than were asked for, where the first one left out has the score
    of the last one kept.

    Returns:
        Whether it is set for any.
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
    """``extra`` [B] rounded up to 0, 16, 32, 64, ...: few different numbers, so few searches."""
    rounded = 2 ** np.ceil(np.log2(np.maximum(extra, SMALLEST_MARGIN))).astype(np.int64)
    return np.where(extra > 0, rounded, 0)
