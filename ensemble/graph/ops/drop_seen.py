"""Drops items that the user has seen from the retrieved ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.kernel import (
    INT64,
    inner,
    kernel,
    read,
    write,
)
from ....core.signature import Columns, ColumnSpec, Signature
from .base import Op

Rows = NDArray[np.int64]


@dataclass
class DropSeen(Op):
    """Keep the first ``topk`` unseen rows in their order.

    retrieved_rows int64 [B, R], seen_rows int64 [B, S] -> candidate_rows int64 [B, K] padded with -1, K = min(R, topk).
    """

    topk: int

    kind: ClassVar[str] = "drop_seen"

    @property
    def reads(self) -> Signature:
        return {"retrieved_rows": ColumnSpec("int64", ("R",)), "seen_rows": ColumnSpec("int64", ("S",))}

    @property
    def writes(self) -> Signature:
        return {"candidate_rows": ColumnSpec("int64", ("K",))}

    def load(self, folder: Path) -> None:
        keep_unseen.compile()

    def __call__(self, columns: Columns) -> Columns:
        retrieved = np.ascontiguousarray(columns["retrieved_rows"])
        kept = np.empty((len(retrieved), min(self.topk, retrieved.shape[1])), dtype=np.int64)
        keep_unseen(retrieved, np.ascontiguousarray(columns["seen_rows"]), kept)
        return {"candidate_rows": kept}


@kernel((read(INT64, 2), read(INT64, 2), write(INT64, 2)))
def keep_unseen(retrieved: Rows, seen: Rows, kept: Rows) -> None:
    """Fill ``kept`` [B, K] with the first of ``retrieved`` [B, R] that are not in ``seen`` [B, S], then with -1."""
    slots = np.empty(_slots(seen.shape[1]), dtype=np.int64)
    for user in range(len(kept)):
        known = (seen[user] >= 0).sum()
        table = slots[: _slots(known)]
        table[:] = -1
        for row in seen[user]:
            if row >= 0:
                table[_find(table, row)] = row
        count = 0
        for row in retrieved[user]:
            if count == kept.shape[1]:
                break
            if row >= 0 and table[_find(table, row)] != row:
                kept[user, count] = row
                count += 1
        kept[user, count:] = -1


@inner()
def _slots(entries: int) -> int:
    """Size of a hash table for this many entries: a power of two, so that it is at most half full."""
    size = 16
    while size < 2 * entries:
        size *= 2
    return size


@inner()
def _find(table: Rows, row: int) -> Any:
    """Slot of ``row``, or the free slot for it: open addressing, multiplicative hashing (Knuth, TAOCP 3, 6.4)."""
    last = np.uint64(len(table) - 1)
    place = ((np.uint64(row) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & last
    while table[place] != row and table[place] >= 0:
        place = (place + np.uint64(1)) & last
    return place
