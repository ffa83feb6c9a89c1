"""Counts of which item followed which in the histories of the training part, as features of a ranker.

A table of counts memorizes single pairs of items, which the product of two embeddings smooths over ("memorization",
Cheng et al., "Wide & deep learning for recommender systems", 2016). The counts are those of a first-order Markov chain
(Shani et al., "An MDP-based recommender system", 2005), and of one whose steps may skip items.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.kernel import (
    FLOAT32,
    INT32,
    INT64,
    inner,
    kernel,
    read,
    write,
)
from ..transforms.codes import mapped

if TYPE_CHECKING:
    from .history import Histories

TRANSITIONS = "transitions"
"""The ranker's input float32 [B, K, WIDTH]."""
WIDTH = 3
"""Features of a user and a candidate: how often it came right after the user's last item, how often soon after the last
few items, and its share of all positives."""
UNKNOWN_USER = 0.0, 0.0, 1.0
"""1 for each feature that does not need a history."""
PRIOR, MIN_SHARE = 10.0, 1e-5
"""Pseudo-count that is added to the total of each item; the scale below which shares count as 0, see `log_scaled`."""
CHUNK = 500_000
"""Events counted at once."""


@dataclass(frozen=True)
class Transitions:
    """Counts of pairs, an earlier item's code and a later item's row, as a sparse matrix of E pairs.

    "At once" counts neighbours in a history; "soon" counts 1 / distance, up to a distance of ``window``.
    """

    start: NDArray[np.int64]
    """[n_codes + 1]: the pairs of code c are ``start[c]`` to ``start[c + 1] - 1``."""
    row: NDArray[np.int32]
    """[E], the later item."""
    count: NDArray[np.float32]
    """[E, 2]: at once, soon."""
    total: NDArray[np.float32]
    """[n_codes, 2]: sums over all later items."""
    share: NDArray[np.float32]
    """[n_items]: the item's share of all positives."""

    @classmethod
    def from_histories(
        cls, history: Histories, item_row: NDArray[np.int32], sizes: tuple[int, int], window: int
    ) -> Transitions:
        """Count the pairs of n positives.

        Args:
            history: item codes [n, N] before each positive, most recent first.
            item_row: [n], the positives' items.
            sizes: n_codes, n_items.
            window: the largest distance that "soon" counts.
        """
        from scipy.sparse import csr_matrix

        counts = csr_matrix(sizes, dtype=np.complex64)  # real: soon, imaginary: at once
        for at in range(0, len(item_row), CHUNK):
            codes = np.asarray(history[at : at + CHUNK])[:, :window]
            after, place = np.nonzero(codes)
            cells = (1 / (1 + place) + 1j * (place == 0), (codes[after, place], item_row[at : at + CHUNK][after]))
            counts += csr_matrix(cells, shape=sizes, dtype=np.complex64)
        both = np.stack([counts.data.imag, counts.data.real], axis=1).astype(np.float32)
        codes = np.repeat(np.arange(sizes[0]), np.diff(counts.indptr))
        total = [np.bincount(codes, weights=of_kind, minlength=sizes[0]) for of_kind in both.T]
        share = np.bincount(item_row, minlength=sizes[1]) / max(1, len(item_row))
        table = np.stack(total, axis=1).astype(np.float32)
        rows = counts.indices.astype(np.int32)
        return cls(counts.indptr.astype(np.int64), rows, both, table, share.astype(np.float32))

    @classmethod
    def open(cls, folder: Path) -> Transitions:
        """Map the files that ``save`` wrote into ``folder``."""
        return cls(**{name: mapped(file) for name, file in cls.files(folder).items()})

    @classmethod
    def files(cls, folder: Path) -> dict[str, Path]:
        """Field -> its file in ``folder``."""
        return {field.name: folder / f"{TRANSITIONS}_{field.name}.npy" for field in fields(cls)}

    def save(self, folder: Path) -> None:
        for name, file in self.files(folder).items():
            np.save(file, getattr(self, name))

    def __call__(
        self,
        history: NDArray[np.integer[Any]],
        candidates: NDArray[np.integer[Any]],
        last: int,
        own: NDArray[np.integer[Any]] | None = None,
        window: int = 0,
    ) -> NDArray[np.float32]:
        """The features of candidates, float32 [B, K, WIDTH].

        Args:
            history: item codes [B, N], most recent first, zero-padded.
            candidates: item rows [B, K], padded with -1.
            last: "soon" is the sum over this many items of the history, the k-th weighted with 1 / k.
            own: for training rows that were counted, the items [B] that followed the histories; they are subtracted
                from the counts (leave-one-out). -1 for a row that was not counted.
            window: the one the counts were made with; needed with ``own``.
        """
        out = np.zeros((*candidates.shape, WIDTH), np.float32)
        codes = np.ascontiguousarray(history[:, : max(last, window)], np.int64)
        rows = np.ascontiguousarray(candidates, np.int64)
        follower = np.full(len(rows), -1) if own is None else own.astype(np.int64)
        look_up(self.start, self.row, self.count, self.total, self.share, codes, rows, follower, last, window, out)
        return out


@inner()
def hash_candidates(rows: Any, slots: Any, first: Any) -> None:
    """Put the positions of the candidates ``rows`` [K] into the hash table ``slots``.

    Fills ``first`` [K] with the first position of the same row.
    """
    slots[:] = -1
    mask = len(slots) - 1
    for place in range(len(rows)):
        at = rows[place] * 2654435761 & mask
        while slots[at] >= 0 and rows[slots[at]] != rows[place]:
            at = (at + 1) & mask
        if slots[at] < 0:
            slots[at] = place
        first[place] = slots[at]


@inner()
def find_candidate(row: Any, rows: Any, slots: Any) -> Any:
    """The first position of ``row`` in ``rows``; -1 if it does not occur."""
    mask = len(slots) - 1
    at = row * 2654435761 & mask
    while slots[at] >= 0:
        if rows[slots[at]] == row:
            return slots[at]
        at = (at + 1) & mask
    return -1


@inner()
def log_scaled(share: Any) -> Any:
    """A share of 0 .. 1 on a logarithmic scale of 0 .. 1."""
    return np.log1p(max(share, 0.0) / MIN_SHARE) / np.log1p(1 / MIN_SHARE)


@inner()
def own_counts(history: Any, code: Any, window: Any) -> Any:
    """What the event after ``history`` [N] added to the counts of ``code``: at once, soon."""
    at_once, soon = 0.0, 0.0
    for place in range(min(window, len(history))):
        if history[place] == code:
            soon += 1 / (1 + place)
            at_once += 1.0 if place == 0 else 0.0
    return at_once, soon


@inner()
def finish(rows: Any, first: Any, share: Any, out: Any) -> None:
    """Turn the sums at the first position of each of ``rows`` [K] into the features ``out`` [K, WIDTH] of all."""
    for back in range(1, len(rows) + 1):  # backwards: the copies of a repeated candidate read its first position
        place = len(rows) - back
        if rows[place] < 0:
            out[place] = 0
            continue
        out[place, 0], out[place, 1] = log_scaled(out[first[place], 0]), log_scaled(out[first[place], 1])
        out[place, 2] = log_scaled(share[rows[place]]) if rows[place] < len(share) else 0.0


@kernel(
    (
        *(read(INT64, 1), read(INT32, 1), read(FLOAT32, 2), read(FLOAT32, 2), read(FLOAT32, 1)),
        *(read(INT64, 2), read(INT64, 2), read(INT64, 1), INT64, INT64, write(FLOAT32, 3)),
    )
)
def look_up(
    start: NDArray[np.int64],
    row: NDArray[np.int32],
    count: NDArray[np.float32],
    total: NDArray[np.float32],
    share: NDArray[np.float32],
    history: NDArray[np.int64],
    candidates: NDArray[np.int64],
    own: NDArray[np.int64],
    last: int,
    window: int,
    out: NDArray[np.float32],
) -> None:
    """Fill ``out`` [B, K, WIDTH], which is 0, with the features of all candidates; see `Transitions.__call__`."""
    size = 4
    while size < 16 * candidates.shape[1]:  # sparse: most later items are not candidates and meet an empty slot
        size *= 2
    slots, first = np.empty(size, np.int32), np.empty(candidates.shape[1], np.int64)
    for user in range(len(candidates)):
        rows, found_for = candidates[user], out[user]
        hash_candidates(rows, slots, first)
        for place in range(min(last, history.shape[1])):
            code = history[user, place]
            if code == 0:
                break
            if code >= len(total):  # a new item, not counted
                continue
            at_once, soon = own_counts(history[user], code, window if own[user] >= 0 else 0)
            of_one, of_few = total[code, 0] - at_once + PRIOR, (total[code, 1] - soon + PRIOR) * (1 + place)
            for entry in range(start[code], start[code + 1]):
                found, mine = find_candidate(row[entry], rows, slots), row[entry] == own[user]
                if found >= 0 and place == 0:
                    found_for[found, 0] += (count[entry, 0] - (at_once if mine else 0.0)) / of_one
                if found >= 0:
                    found_for[found, 1] += (count[entry, 1] - (soon if mine else 0.0)) / of_few
        finish(rows, first, share, found_for)
