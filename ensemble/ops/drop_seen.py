"""Drop what the user has seen from the retrieved items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...core.signature import Columns, ColumnSpec, Signature
from .base import Op


@dataclass
class DropSeen(Op):
    """Keep the first ``topk`` unseen rows, order kept.

    retrieved_rows int64 [B, R], seen_rows int64 [B, S] -> candidate_rows int64 [B, K], K = min(R, topk), -1 padded.
    """

    topk: int

    kind: ClassVar[str] = "drop_seen"

    @property
    def reads(self) -> Signature:
        return {"retrieved_rows": ColumnSpec("int64", ("R",)), "seen_rows": ColumnSpec("int64", ("S",))}

    @property
    def writes(self) -> Signature:
        return {"candidate_rows": ColumnSpec("int64", ("K",))}

    def __call__(self, columns: Columns) -> Columns:
        retrieved = columns["retrieved_rows"]
        drop = (retrieved < 0) | contained(retrieved, columns["seen_rows"])
        first = np.argsort(drop, axis=1, kind="stable")[:, : self.topk]
        kept = np.where(drop, -1, retrieved)
        return {"candidate_rows": np.take_along_axis(kept, first, axis=1)}


def contained(values: NDArray[np.int64], of: NDArray[np.int64]) -> NDArray[Any]:
    """Whether ``values`` [B, R] occur in the same row of ``of`` [B, S]; both at least -1. bool [B, R].

    Every row gets a number range of its own, so that one sorted search serves the whole batch.
    """
    width = 2 + max(values.max(initial=-1), of.max(initial=-1))
    start = np.arange(len(values), dtype=np.int64)[:, None] * width
    known = np.sort((of + start).ravel())
    if not known.size:
        return np.zeros(values.shape, dtype=bool)
    wanted = values + start
    found = np.minimum(np.searchsorted(known, wanted), known.size - 1)
    return np.asarray(known[found] == wanted)
