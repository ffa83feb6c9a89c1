"""What followed what in the histories of the training part: numbers that tell a ranker what an embedding forgets.

A table of counts remembers each pair of items, where the product of two vectors smooths over them ("memorization",
Cheng et al., "Wide & deep learning for recommender systems", 2016). It is the first-order Markov chain (Shani et al.,
"An MDP-based recommender system", 2005), beside one whose steps may skip items.
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
"""Numbers of a user and a candidate: how often it came right after the user's last item, how often soon after the last
few, and its share of all positives."""
UNKNOWN_USER = 0.0, 0.0, 1.0
"""What is left of the numbers without a history."""
PRIOR, LEAST = 10.0, 1e-5
"""Transitions to nowhere that are added to each item's; the share that is the least to be told from 0."""
CHUNK = 500_000


@dataclass(frozen=True)
class Transitions:
    """Counts of what followed, by the code of the earlier item and the row of the later one; E pairs have any.

    "At once" counts neighbours in a history; "soon" counts 1 / distance up to a distance of ``window``.
    """

    start: NDArray[np.int64]
    """[n_codes + 1]: the followers of code c are numbers ``start[c]`` to ``start[c + 1] - 1``."""
    row: NDArray[np.int32]
    """[E], the follower."""
    count: NDArray[np.float32]
    """[E, 2]: at once, soon."""
    total: NDArray[np.float32]
    """[n_codes, 2]: of all followers of a code."""
    share: NDArray[np.float32]
    """[n_items]: of all positives."""

    @classmethod
    def of(cls, history: Histories, item_row: NDArray[np.int32], sizes: tuple[int, int], window: int) -> Transitions:
        """Count those of n positives: ``history`` [n, N] of codes, most recent first, and ``item_row`` [n].

        Args:
            sizes: n_codes, n_items.
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
        """What ``save`` wrote there, memory-mapped."""
        return cls(**{name: mapped(file) for name, file in cls.files(folder).items()})

    @classmethod
    def files(cls, folder: Path) -> dict[str, Path]:
        """Field -> its file."""
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
        """The numbers float32 [B, K, WIDTH] of candidates.

        Args:
            history: codes [B, N].
            candidates: item rows [B, K], -1 padded.
            last: how many of the history's items "soon" is read from, each 1 / place.
            own: item rows [B] that followed these very histories, among the counts: they are taken off again. -1 where
                there is none.
            window: what the counts were made with; for ``own`` alone.
        """
        out = np.zeros((*candidates.shape, WIDTH), np.float32)
        codes = np.ascontiguousarray(history[:, : max(last, window)], np.int64)
        rows = np.ascontiguousarray(candidates, np.int64)
        follower = np.full(len(rows), -1) if own is None else own.astype(np.int64)
        look_up(self.start, self.row, self.count, self.total, self.share, codes, rows, follower, last, window, out)
        return out


@inner()
def places_of(rows: Any, slots: Any, first: Any) -> None:
    """Hash the candidates ``rows`` [K]: ``slots`` gets the place of each, ``first`` [K] the first place of its row."""
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
def find(row: Any, rows: Any, slots: Any) -> Any:
    """The first place of ``row`` among ``rows``, -1 if it is not there."""
    mask = len(slots) - 1
    at = row * 2654435761 & mask
    while slots[at] >= 0:
        if rows[slots[at]] == row:
            return slots[at]
        at = (at + 1) & mask
    return -1


@inner()
def scaled(share: Any) -> Any:
    """0 .. 1 of a share of 0 .. 1, by its logarithm."""
    return np.log1p(max(share, 0.0) / LEAST) / np.log1p(1 / LEAST)


@inner()
def own_counts(history: Any, code: Any, window: Any) -> Any:
    """What the one event after ``history`` [N] has added to the counts of ``code``: at once, soon."""
    at_once, soon = 0.0, 0.0
    for place in range(min(window, len(history))):
        if history[place] == code:
            soon += 1 / (1 + place)
            at_once += 1.0 if place == 0 else 0.0
    return at_once, soon


@inner()
def finish(rows: Any, first: Any, share: Any, out: Any) -> None:
    """From sums at the first place of each of ``rows`` [K] to the numbers ``out`` [K, WIDTH] of all places."""
    for back in range(1, len(rows) + 1):  # the first place of a candidate that is there twice is finished last
        place = len(rows) - back
        if rows[place] < 0:
            out[place] = 0
            continue
        out[place, 0], out[place, 1] = scaled(out[first[place], 0]), scaled(out[first[place], 1])
        out[place, 2] = scaled(share[rows[place]]) if rows[place] < len(share) else 0.0


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
    """Add the numbers of all candidates to ``out`` [B, K, WIDTH], which is 0; see `Transitions`."""
    size = 4
    while size < 16 * candidates.shape[1]:  # so that most followers, which are no candidates, meet an empty slot
        size *= 2
    slots, first = np.empty(size, np.int32), np.empty(candidates.shape[1], np.int64)
    for user in range(len(candidates)):
        rows, found_for = candidates[user], out[user]
        places_of(rows, slots, first)
        for place in range(min(last, history.shape[1])):
            code = history[user, place]
            if code == 0:
                break
            if code >= len(total):  # of an item that came later
                continue
            at_once, soon = own_counts(history[user], code, window if own[user] >= 0 else 0)
            of_one, of_few = total[code, 0] - at_once + PRIOR, (total[code, 1] - soon + PRIOR) * (1 + place)
            for entry in range(start[code], start[code + 1]):
                found, mine = find(row[entry], rows, slots), row[entry] == own[user]
                if found >= 0 and place == 0:
                    found_for[found, 0] += (count[entry, 0] - (at_once if mine else 0.0)) / of_one
                if found >= 0:
                    found_for[found, 1] += (count[entry, 1] - (soon if mine else 0.0)) / of_few
        finish(rows, first, share, found_for)
