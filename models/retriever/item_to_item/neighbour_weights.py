"""Sparse item-item weights in the request path: memory-mapped arrays, and the kernels that read them.

Shapes: B requests, N entries of a history, C item codes, E weights, K candidates, R retrieved items.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....core.kernel import (
    FLOAT32,
    FLOAT64,
    INT32,
    INT64,
    inner,
    kernel,
    read,
    write,
)
from ....workflows.transforms.codes import mapped

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NEIGHBOUR_SCORES = "neighbour_scores"
"""The ranker's input float32 [B, K]."""
BY_VECTOR, BY_NEIGHBOURS, BY_POPULARITY = 1, 2, 4
"""Bits of a candidate's sources: the index found it, an item of the history has a weight for it, every request has."""
EVERY = 0
"""The code whose weights count in every request, whatever its history."""
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class NeighbourWeights:
    """The weights of `models.retriever.neighbours.Neighbours`, by rows: what each item of a history says for others.

    Row `EVERY` counts in every request.
    """

    start: NDArray[np.int64]
    """[C + 1]: the weights of code c are ``start[c]`` to ``start[c + 1] - 1``."""
    row: NDArray[np.int32]
    """[E], the other item."""
    weight: NDArray[np.float32]
    """[E]."""

    @classmethod
    def of(cls, weights: csr_matrix) -> NeighbourWeights:
        """Those of a matrix float32 [C, n_items]."""
        return cls(
            np.ascontiguousarray(weights.indptr, np.int64),
            np.ascontiguousarray(weights.indices, np.int32),
            np.ascontiguousarray(weights.data, np.float32),
        )

    @classmethod
    def open(cls, folder: Path) -> NeighbourWeights:
        """Map the files that ``save`` wrote into ``folder``, so that the processes of a server share one copy."""
        return cls(**{name: mapped(file) for name, file in cls.files(folder).items()})

    @classmethod
    def files(cls, folder: Path) -> dict[str, Path]:
        """Field -> its file in ``folder``."""
        return {field.name: folder / f"neighbour_{field.name}.npy" for field in fields(cls)}

    def save(self, folder: Path) -> None:
        dtypes = {"start": np.int64, "row": np.int32, "weight": np.float32}
        for name, file in self.files(folder).items():
            np.save(file, np.ascontiguousarray(getattr(self, name), dtypes[name]))

    def scores(self, history: Rows, candidates: Rows, decay: float) -> NDArray[np.float32]:
        """What the history says for each candidate, float32 [B, K]; 0 for a row of -1.

        Args:
            history: item codes [B, N], newest first, padded with 0.
            candidates: item rows [B, K], padded with -1.
        """
        out = np.empty(candidates.shape, np.float32)
        history, candidates = (np.ascontiguousarray(of) for of in (history, candidates))
        score_candidates(self.start, self.row, self.weight, decay, history, candidates, out)
        return out

    def add(self, history: Rows, scores: NDArray[np.float32], decay: float) -> None:
        """Add what the history says for all items to ``scores`` [B, n_items]; ``history`` is as in ``scores``."""
        add_scores(self.start, self.row, self.weight, decay, np.ascontiguousarray(history), scores)

    def merge(
        self, query: NDArray[np.float32], vectors: NDArray[np.float32], history: Rows, found: Rows, most: Rows,
        decay: float,
    ) -> tuple[Rows, Rows]:  # fmt: skip
        """Add the items that the weights reach to those that the index found, and order them by the sum of scores.

        Args:
            query: [B, D].
            vectors: of all items, [n_items, D].
            history: as in ``scores``.
            found: item rows [B, R] by the index, best first, padded with -1.
            most: [B], how many items to keep.

        Returns:
            item rows [B, R], best first, padded with -1, and the bits of their sources, padded with 0.
        """
        rows, sources = np.empty_like(found), np.empty_like(found)
        query, past, listed = np.ascontiguousarray(query), np.ascontiguousarray(history), np.ascontiguousarray(found)
        merge_lists(self.start, self.row, self.weight, decay, vectors, query, past, listed, most, rows, sources)
        return rows, sources


@inner()
def _table_size(entries: Any) -> Any:
    """Size of a hash table for this many entries: a power of two, so that it is at most half full."""
    size = 16
    while size < 2 * entries:
        size *= 2
    return size


@inner()
def _after(start: Any, code: Any) -> Any:
    """Where the weights of ``code`` end; there are none of a code beyond the last."""
    return start[min(code + 1, len(start) - 1)]


@inner()
def _reachable(start: Any, history: Any) -> Any:
    """How many weights the entries of ``history`` [N] have, and every request."""
    count = _after(start, EVERY) - start[EVERY]
    for code in history:
        if 0 < code < len(start) - 1:
            count += start[code + 1] - start[code]
    return count


@inner()
def _place(item: Any, slots: Any, rows: Any) -> Any:
    """The slot of ``item``, or the free one for it: open addressing, multiplicative hashing (Knuth, TAOCP 3, 6.4)."""
    mask = len(slots) - 1
    at = (item * 2654435761 >> 8) & mask
    while slots[at] >= 0 and rows[slots[at]] != item:
        at = (at + 1) & mask
    return at


@inner()
def _sum_up(
    start: Any, row: Any, weight: Any, code: Any, share: Any, bit: Any,
    slots: Any, rows: Any, scores: Any, source: Any, count: Any,
) -> Any:  # fmt: skip
    """Add ``share`` of the weights of ``code`` to the ``count`` items so far; returns their number."""
    for entry in range(start[code], _after(start, code)):
        item = np.int64(row[entry])
        at = _place(item, slots, rows)
        if slots[at] < 0:
            slots[at], rows[count], scores[count], source[count] = count, item, 0, 0
            count += 1
        scores[slots[at]] += share * weight[entry]
        source[slots[at]] |= bit
    return count


@inner()
def _reach(
    start: Any, row: Any, weight: Any, decay: Any, history: Any, slots: Any, rows: Any, scores: Any, source: Any
) -> Any:
    """Sum up what ``history`` [N] says for all items, and what counts in every request.

    Fills ``rows``, ``scores`` and ``source`` from their start, and ``slots`` with positions in them; returns how many.
    """
    slots[:] = -1
    entries = 0
    for code in history:
        entries += code > 0
    count = _sum_up(start, row, weight, EVERY, 1.0, BY_POPULARITY, slots, rows, scores, source, 0)
    share = 1 / np.sqrt(max(entries, 1))
    for code in history:
        if code <= 0:
            continue
        if code < len(start) - 1:
            count = _sum_up(start, row, weight, code, share, BY_NEIGHBOURS, slots, rows, scores, source, count)
        share *= decay
    return count


@kernel(
    (
        *(read(INT64, 1), read(INT32, 1), read(FLOAT32, 1), FLOAT64),
        *(read(INT64, 2), read(INT64, 2), write(FLOAT32, 2)),
    )
)
def score_candidates(
    start: NDArray[np.int64],
    row: NDArray[np.int32],
    weight: NDArray[np.float32],
    decay: float,
    history: Rows,
    candidates: Rows,
    out: NDArray[np.float32],
) -> None:
    """Fill ``out`` [B, K]; see `NeighbourWeights.scores`."""
    longest = 0
    for user in range(len(history)):
        longest = max(longest, _reachable(start, history[user]))
    slots, rows, scores = np.empty(_table_size(longest), np.int32), np.empty(longest, np.int64), np.empty(longest)
    source = np.empty(longest, np.uint8)
    for user in range(len(history)):
        table = slots[: _table_size(_reachable(start, history[user]))]
        _reach(start, row, weight, decay, history[user], table, rows, scores, source)
        for place in range(candidates.shape[1]):
            item = candidates[user, place]
            at = table[_place(item, table, rows)] if item >= 0 else -1
            out[user, place] = scores[at] if at >= 0 else 0


@kernel(
    (
        *(read(INT64, 1), read(INT32, 1), read(FLOAT32, 1), FLOAT64),
        *(read(INT64, 2), write(FLOAT32, 2)),
    )
)
def add_scores(
    start: NDArray[np.int64],
    row: NDArray[np.int32],
    weight: NDArray[np.float32],
    decay: float,
    history: Rows,
    out: NDArray[np.float32],
) -> None:
    """Add to ``out`` [B, n_items]; see `NeighbourWeights.add`."""
    for user in range(len(history)):
        for entry in range(start[EVERY], _after(start, EVERY)):
            out[user, row[entry]] += weight[entry]
        entries = 0
        for code in history[user]:
            entries += code > 0
        share = 1 / np.sqrt(max(entries, 1))
        for code in history[user]:
            if code <= 0:
                continue
            if code < len(start) - 1:
                for entry in range(start[code], start[code + 1]):
                    out[user, row[entry]] += np.float32(share) * weight[entry]
            share *= decay


@inner(fastmath=True)
def _product(query: Any, vector: Any) -> Any:
    """Inner product; fastmath lets the sum be computed in vector registers."""
    total = np.float32(0)
    for at in range(len(query)):
        total += query[at] * vector[at]
    return total


@inner()
def _worse(score: Any, item: Any, other_score: Any, other: Any) -> Any:
    """Whether ``item`` comes after ``other``: a lower score, or the same and a later row."""
    return score < other_score or (score == other_score and item > other)


@inner()
def _sink(scores: Any, items: Any, size: Any, at: Any) -> None:
    """Restore the order of a heap with the worst item first, below position ``at``."""
    score, item = scores[at], items[at]
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _worse(scores[child + 1], items[child + 1], scores[child], items[child]):
            child += 1
        if not _worse(scores[child], items[child], score, item):
            break
        scores[at], items[at] = scores[child], items[child]
        at = child
    scores[at], items[at] = score, item


@inner()
def _push(scores: Any, items: Any, size: Any, most: Any, score: Any, item: Any) -> Any:
    """Put ``item`` among the best ``most``, of which there are ``size``; returns the size.

    They are a heap once they are ``most``.
    """
    if size < most:
        scores[size], items[size] = score, item
        size += 1
        if size == most:
            _heapify(scores, items, size)
    elif most and _worse(scores[0], items[0], score, item):
        scores[0], items[0] = score, item
        _sink(scores, items, size, 0)
    return size


@inner()
def _heapify(scores: Any, items: Any, size: Any) -> None:
    for at in range(size // 2 - 1, -1, -1):
        _sink(scores, items, size, at)


@inner()
def _sort(scores: Any, items: Any, size: Any) -> None:
    """Turn a heap into a list, best first."""
    for left in range(size - 1, 0, -1):
        score, item = scores[left], items[left]
        scores[left], items[left] = scores[0], items[0]
        scores[0], items[0] = score, item
        _sink(scores, items, left, 0)


@kernel(
    (
        *(read(INT64, 1), read(INT32, 1), read(FLOAT32, 1), FLOAT64, read(FLOAT32, 2), read(FLOAT32, 2)),
        *(read(INT64, 2), read(INT64, 2), read(INT64, 1), write(INT64, 2), write(INT64, 2)),
    )
)
def merge_lists(
    start: NDArray[np.int64],
    row: NDArray[np.int32],
    weight: NDArray[np.float32],
    decay: float,
    vectors: NDArray[np.float32],
    query: NDArray[np.float32],
    history: Rows,
    found: Rows,
    most: Rows,
    out: Rows,
    sources: Rows,
) -> None:
    """Fill ``out`` and ``sources`` [B, R]; see `NeighbourWeights.merge`."""
    width, longest = found.shape[1], found.shape[1]
    for user in range(len(found)):
        longest = max(longest, width + _reachable(start, history[user]))
    slots, rows, scores = np.empty(_table_size(longest), np.int32), np.empty(longest, np.int64), np.empty(longest)
    source, sums = np.empty(longest, np.uint8), np.empty(width)
    for user in range(len(found)):
        table = slots[: _table_size(width + _reachable(start, history[user]))]
        count = _reach(start, row, weight, decay, history[user], table, rows, scores, source)
        if not count:
            for place in range(width):
                out[user, place] = found[user, place]
                sources[user, place] = BY_VECTOR if found[user, place] >= 0 else 0
            continue
        kept, asked, reached, size = out[user], min(most[user], width), count, 0
        for item in found[user]:  # first, because most of the others will not be better
            if item < 0:
                continue
            at = _place(item, table, rows)
            if table[at] < 0:
                table[at], rows[count], scores[count], source[count] = count, item, 0, 0
                count += 1
            source[table[at]] |= BY_VECTOR
            size = _push(sums, kept, size, asked, scores[table[at]] + _product(query[user], vectors[item]), item)
        for at in range(reached):
            if not source[at] & BY_VECTOR:
                score = scores[at] + _product(query[user], vectors[rows[at]])
                size = _push(sums, kept, size, asked, score, rows[at])
        if size < asked:
            _heapify(sums, kept, size)
        _sort(sums, kept, size)
        kept[size:] = -1
        for place in range(width):
            sources[user, place] = source[table[_place(kept[place], table, rows)]] if place < size else 0
