"""Which items belong to which user, as sparse boolean matrices [n_users, n_items]."""

from __future__ import annotations

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


def contains(matrix: csr_matrix, columns: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """bool [B, J]: whether row b of ``matrix`` [B, n_items] has an entry in column ``columns[b, j]``."""
    width = matrix.shape[1]
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    have = np.sort(rows * width + matrix.indices)
    ask = np.arange(len(columns))[:, None] * width + columns
    at = np.minimum(np.searchsorted(have, ask), max(len(have) - 1, 0))
    return have[at] == ask if len(have) else np.zeros(columns.shape, bool)


def without(matrix: csr_matrix, columns: NDArray[np.int32]) -> csr_matrix:
    """A copy of ``matrix`` [n, n_items] without the entries [i, columns[i]]."""
    matrix = matrix.tocsr().copy()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    matrix.data[matrix.indices == columns[rows]] = False
    matrix.eliminate_zeros()
    return matrix
