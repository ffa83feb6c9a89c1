"""User history: the last positives of the user before each event.

Every positive is stored once, users one after the other, each user's in order of time. An event stores where its
history ends in that array; the history starts at the user's first positive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.kernel import (
    INT32,
    INT64,
    kernel,
    read,
    write,
)
from ..transforms.codes import MISSING_INT, mapped
from .gaps import gap_codes


@dataclass(frozen=True)
class Positives:
    """The positives of all splits, P in total."""

    first: NDArray[np.int64]
    """[n_users + 1]: the positives of user u are ``first[u]`` to ``first[u + 1] - 1``."""
    code: NDArray[np.int32]
    """[P], the code of the item."""
    seconds: NDArray[np.int64] | None = None
    """[P], the time in whole seconds; only with ``history.gaps``."""

    @classmethod
    def open(cls, folder: Path) -> Positives:
        """The arrays in ``folder``, memory-mapped."""
        times = folder / "seconds.npy"
        return cls(
            mapped(folder / "first.npy"), mapped(folder / "code.npy"), mapped(times) if times.is_file() else None
        )


@dataclass(frozen=True)
class Histories:
    """The histories of n events, a lazy int32 array [n, length].

    A row holds the item codes of the user's last positives strictly before the event, most recent first, then 0.
    "Before" is the order of the rows: events with equal timestamps are in file order.

    ``[...]`` and ``numpy.asarray`` read the rows; ``take`` selects events without reading them.
    """

    positives: Positives
    user_row: NDArray[np.int32]
    """[n]."""
    end: NDArray[np.int64]
    """[n], the first positive that is no longer before the event: the event itself, if it is a positive."""
    length: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.end.shape, self.length)

    def __len__(self) -> int:
        return len(self.end)

    def take(self, at: Any, axis: int = 0) -> Histories:
        """The histories of the events ``at``, like ``numpy.take`` along the first axis."""
        return replace(self, user_row=self.user_row[at], end=self.end[at])

    def __getitem__(self, at: Any) -> NDArray[np.int32]:
        rows, *columns = at if isinstance(at, tuple) else (at,)
        found = np.asarray(self.take(rows))
        return found[(..., *columns)] if columns else found

    def __array__(self, dtype: Any = None) -> NDArray[Any]:
        found = self._gathered()
        return found.reshape(self.shape).astype(dtype or found.dtype, copy=False)

    def _gathered(self) -> NDArray[np.int32]:
        return self._latest(self.positives.code, 0)

    def _latest(self, values: NDArray[Any], padding: int) -> NDArray[Any]:
        """The entries of ``values`` [P] for the last positives: [n, length], same dtype."""
        found = np.empty((self.end.size, self.length), values.dtype)
        first = self.positives.first[self.user_row]
        latest(values, first.reshape(-1), np.ascontiguousarray(self.end).reshape(-1), padding, found)
        return found


@dataclass(frozen=True)
class HistoryGaps(Histories):
    """The time gaps of the same histories, a lazy int32 array [n, length] of codes; see ``gaps``."""

    def _gathered(self) -> NDArray[np.int32]:
        assert self.positives.seconds is not None
        codes = np.empty((self.end.size, self.length), np.int32)
        gap_codes(self._latest(self.positives.seconds, MISSING_INT), codes)
        return codes


def order_positives(
    user_row: NDArray[np.int32], positive: NDArray[np.bool_], test: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order in which positives are stored, and where the history of each row ends among them.

    A user's test positives come last, so that no history of the training or validation part contains one, even if the
    split is not by time. A test row's history contains earlier test positives once all others are in the past.

    Args:
        user_row: [n], the rows of a user one after the other.
        positive, test: bool [n].

    Returns:
        The rows of the positives in storage order, int64 [P], and the end of each row's history, int64 [n] of 0 .. P.
    """
    starts = np.flatnonzero(np.diff(user_row, prepend=user_row[:1] - 1))
    user = np.cumsum(np.diff(user_row, prepend=user_row[:1]) != 0)
    known, held = (np.append(0, np.cumsum(positive & part)) for part in (~test, test))
    ends = np.append(starts[1:], len(user_row))
    before, of_test = known[:-1] - known[starts][user], held[:-1] - held[starts][user]
    end = before + np.where(test & (known[:-1] == known[ends][user]), of_test, 0)
    rows: NDArray[np.int64] = np.flatnonzero(positive)
    return rows[np.lexsort((test[rows], user[rows]))], np.asarray(end + (known + held)[starts][user], np.int64)


@kernel(
    (read(INT32, 1), read(INT64, 1), read(INT64, 1), INT64, write(INT32, 2)),
    (read(INT64, 1), read(INT64, 1), read(INT64, 1), INT64, write(INT64, 2)),
)
def latest(
    values: NDArray[Any], first: NDArray[np.int64], end: NDArray[np.int64], padding: int, out: NDArray[Any]
) -> None:
    """Fill row i of ``out`` [n, N] with ``values`` from ``end[i] - 1`` down to ``first[i]``, then ``padding``."""
    for row in range(len(out)):
        count = min(end[row] - first[row], out.shape[1])
        for column in range(count):
            out[row, column] = values[end[row] - 1 - column]
        out[row, count:] = padding
