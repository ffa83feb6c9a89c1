"""User history: the last positives before each event, without looking ahead.

Every positive is kept once, users one after the other, each user's in the order of their events. An event knows where
in there its history ends; it begins where its user does.
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
    """The positives of all splits."""

    first: NDArray[np.int64]
    """[n_users + 1]: those of user u are numbers ``first[u]`` to ``first[u + 1] - 1``."""
    code: NDArray[np.int32]
    """[P], the code of each one's item."""
    seconds: NDArray[np.int64] | None = None
    """[P], when each was, in whole seconds; with ``history.gaps`` alone."""

    @classmethod
    def open(cls, folder: Path) -> Positives:
        """The arrays in ``folder``, memory-mapped."""
        times = folder / "seconds.npy"
        return cls(
            mapped(folder / "first.npy"), mapped(folder / "code.npy"), mapped(times) if times.is_file() else None
        )


@dataclass(frozen=True)
class Histories:
    """int32 [n, length]: for each of n events the codes of its user's last positives strictly before it, most recent
    first, zero-padded at the end. "Before" is the order of the rows: events with equal timestamps are in file order.

    Rows are gathered when they are read, by ``[...]`` or by ``numpy.asarray``; ``take`` gives fewer of them ungathered.
    """

    of: Positives
    user_row: NDArray[np.int32]
    """[n]."""
    end: NDArray[np.int64]
    """[n], number of the first positive that comes too late: the event itself, if it is one."""
    length: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.end.shape, self.length)

    def __len__(self) -> int:
        return len(self.end)

    def take(self, at: Any, axis: int = 0) -> Histories:
        """Those of the events ``at``, as numpy's own ``take`` along the first axis."""
        return replace(self, user_row=self.user_row[at], end=self.end[at])

    def __getitem__(self, at: Any) -> NDArray[np.int32]:
        rows, *columns = at if isinstance(at, tuple) else (at,)
        found = np.asarray(self.take(rows))
        return found[(..., *columns)] if columns else found

    def __array__(self, dtype: Any = None) -> NDArray[Any]:
        found = self._gathered()
        return found.reshape(self.shape).astype(dtype or found.dtype, copy=False)

    def _gathered(self) -> NDArray[np.int32]:
        return self._latest(self.of.code, 0)

    def _latest(self, values: NDArray[Any], padding: int) -> NDArray[Any]:
        """``values`` [P] of the last positives, [n, length] in their dtype."""
        found = np.empty((self.end.size, self.length), values.dtype)
        first = self.of.first[self.user_row]
        latest(values, first.reshape(-1), np.ascontiguousarray(self.end).reshape(-1), padding, found)
        return found


@dataclass(frozen=True)
class HistoryGaps(Histories):
    """int32 [n, length]: the codes of the time gaps of the same positives; see ``gaps``."""

    def _gathered(self) -> NDArray[np.int32]:
        assert self.of.seconds is not None
        codes = np.empty((self.end.size, self.length), np.int32)
        gap_codes(self._latest(self.of.seconds, MISSING_INT), codes)
        return codes


def order_of(
    user_row: NDArray[np.int32], positive: NDArray[np.bool_], test: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which rows are positives, in the order in which they are kept, and where each row's history ends among them.

    A user's positives of the test part come last, so that what is trained on has none of them in its histories, even
    where the split is not one by time. Those of test rows do, once all others are past.

    Args:
        user_row: [n], each user's rows together.
        positive, test: bool [n].

    Returns:
        rows [P], and numbers [n] from 0 to P.
    """
    starts = np.flatnonzero(np.diff(user_row, prepend=user_row[:1] - 1))
    user = np.cumsum(np.diff(user_row, prepend=user_row[:1]) != 0)
    known, held = (np.append(0, np.cumsum(positive & part)) for part in (~test, test))
    ends = np.append(starts[1:], len(user_row))
    before, of_test = known[:-1] - known[starts][user], held[:-1] - held[starts][user]
    end = before + np.where(test & (known[:-1] == known[ends][user]), of_test, 0)
    rows = np.flatnonzero(positive)
    return rows[np.lexsort((test[rows], user[rows]))], end + (known + held)[starts][user]


@kernel(
    (read(INT32, 1), read(INT64, 1), read(INT64, 1), INT64, write(INT32, 2)),
    (read(INT64, 1), read(INT64, 1), read(INT64, 1), INT64, write(INT64, 2)),
)
def latest(
    values: NDArray[Any], first: NDArray[np.int64], end: NDArray[np.int64], padding: int, out: NDArray[Any]
) -> None:
    """Fill row i of ``out`` [n, N] with ``values`` at ``end[i] - 1`` and down to ``first[i]``, then ``padding``."""
    for row in range(len(out)):
        count = min(end[row] - first[row], out.shape[1])
        for column in range(count):
            out[row, column] = values[end[row] - 1 - column]
        out[row, count:] = padding
