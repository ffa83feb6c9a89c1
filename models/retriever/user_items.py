"""Which items belong to which user, as sparse boolean matrices [n_users, n_items]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from ...workflows.etl.tensors import Interactions
    from ..training.rows import Events


def user_items(events: Events | Interactions, shape: tuple[int, int]) -> csr_matrix:
    """bool [n_users, n_items]: True where ``events`` hold the user with the item, whatever the label."""
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones(len(events), bool), (events.user_row, events.item_row)), shape=shape, dtype=bool)


@dataclass(frozen=True)
class UserItems:
    """The items that the user of each of B events has.

    A user's items are stored once, not once for each of its events: one user may have most of them.
    """

    matrix: csr_matrix
    """bool [n_users, n_items]."""
    users: NDArray[np.integer[Any]]
    """User row of each event [B]."""
    without: NDArray[np.integer[Any]] | None = None
    """An item row [B] that does not count as the user's at this event."""

    def __len__(self) -> int:
        return len(self.users)

    def take(self, at: NDArray[np.integer[Any]] | slice) -> UserItems:
        """Those of the events ``at``."""
        return UserItems(self.matrix, self.users[at], None if self.without is None else self.without[at])

    def counts(self) -> NDArray[np.int64]:
        """How many items each user has [B]; ``without`` counts as well."""
        return np.asarray(np.diff(self.matrix.indptr)[self.users], np.int64)

    def contains(self, columns: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """bool [B, J]: whether the user of event b has item ``columns[b, j]``."""
        users, at = np.unique(self.users, return_inverse=True)
        width, own = self.matrix.shape[1], self.matrix[users]
        have = np.sort(np.repeat(np.arange(len(users)), np.diff(own.indptr)) * width + own.indices)
        if not len(have):
            return np.zeros(columns.shape, bool)
        ask = at.reshape(-1, 1) * width + columns
        found: NDArray[np.bool_] = have[np.minimum(np.searchsorted(have, ask), len(have) - 1)] == ask
        return found if self.without is None else found & (columns != self.without[:, None])
