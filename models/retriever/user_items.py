"""Which items belong to which user, as sparse boolean matrices [n_users, n_items]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..training.rows import Events

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from ...workflows.etl.tensors import Interactions, Tensors


def user_items(events: Events | Interactions, shape: tuple[int, int]) -> csr_matrix:
    """bool [n_users, n_items]: True where ``events`` hold the user with the item, whatever the label."""
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones(len(events), bool), (events.user_row, events.item_row)), shape=shape, dtype=bool)


def hidden_items(tensors: Tensors, *, shown_again: bool = False, keep_seen: bool = False) -> csr_matrix:
    """bool [n_users, n_items]: what is never recommended to the user, by what it had in the training part.

    Args:
        shown_again: in a log of impressions, what was shown in vain may be shown again.
        keep_seen: whether items that the user had as a positive may be recommended again, see ``serving.seen``.
    """
    from scipy.sparse import csr_matrix

    source, shape = tensors.interactions("train"), (len(tensors.user_ids), len(tensors.item_ids))
    if keep_seen:
        return csr_matrix(shape, dtype=bool) if shown_again else disliked(source, shape)
    return user_items(Events.positives(source) if shown_again else source, shape)


def disliked(source: Interactions, shape: tuple[int, int]) -> csr_matrix:
    """bool [n_users, n_items]: items that a user has in ``source``, but never as a positive."""
    from scipy.sparse import csr_matrix

    def matrix(keep: NDArray[np.bool_]) -> csr_matrix:
        cells = (np.ones(keep.sum(), np.int8), (source.user_row[keep], source.item_row[keep]))
        return csr_matrix(cells, shape=shape, dtype=np.int8)

    had, liked = matrix(~source.positive), matrix(source.positive)
    had.data[:] = 1
    rest = (had - had.multiply(liked > 0)).tocsr()
    rest.eliminate_zeros()
    return rest.astype(bool)


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
        own.sort_indices()  # a check where they are: matrices of pairs of users and items are sorted
        have = np.repeat(np.arange(len(users)), np.diff(own.indptr)) * width + own.indices
        if not len(have):
            return np.zeros(columns.shape, bool)
        ask = at.reshape(-1, 1) * width + columns
        found: NDArray[np.bool_] = have[np.minimum(np.searchsorted(have, ask), len(have) - 1)] == ask
        return found if self.without is None else found & (columns != self.without[:, None])
