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

from ..core.kernel import INT32, INT64, kernel, read, write
from .lookup_tables import mapped


@dataclass(frozen=True)
class Positives:
    """The positives of all splits."""

    first: NDArray[np.int64]
    """[n_users + 1]: those of user u are numbers ``first[u]`` to ``first[u + 1] - 1``."""
    code: NDArray[np.int32]
    """[P], the code of each one's item."""

    @classmethod
    def open(cls, folder: Path) -> Positives:
        """The arrays in ``folder``, memory-mapped."""
        return cls(mapped(folder / "first.npy"), mapped(folder / "code.npy"))


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
        return np.asarray(self.take(at))

    def __array__(self, dtype: Any = None) -> NDArray[Any]:
        found = np.empty((self.end.size, self.length), np.int32)
        first = self.of.first[self.user_row]
        latest(self.of.code, first.reshape(-1), np.ascontiguousarray(self.end).reshape(-1), 0, found)
        return found.reshape(self.shape).astype(dtype or found.dtype, copy=False)


def positives_before(positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many of the rows before each are positive, [n]."""
    return np.cumsum(positive) - positive


@kernel((read(INT32, 1), read(INT64, 1), read(INT64, 1), INT64, write(INT32, 2)))
def latest(
    values: NDArray[Any], first: NDArray[np.int64], end: NDArray[np.int64], padding: int, out: NDArray[Any]
) -> None:
    """Fill row i of ``out`` [n, N] with ``values`` at ``end[i] - 1`` and down to ``first[i]``, then ``padding``."""
    for row in range(len(out)):
        count = min(end[row] - first[row], out.shape[1])
        for column in range(count):
            out[row, column] = values[end[row] - 1 - column]
        out[row, count:] = padding
