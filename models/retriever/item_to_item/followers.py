"""What follows an item soon: the share of users who had an item and then, a few items later, the other.

A first-order Markov chain whose steps may skip items (Shani et al., "An MDP-based recommender system", 2005), shrunk
for items with few followers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WINDOW = 5
"""Largest distance of two items; a pair at distance d counts 1 / d."""
SHRINKAGE = 10.0
"""Pairs that are added to the total of each item."""


def followers(users: NDArray[np.integer[Any]], codes: NDArray[np.integer[Any]], size: int) -> csr_matrix:
    """Weights float32 [size, size]: row i holds the shares of the items that follow item i, itself included.

    Args:
        users: [n], the users of positives in order, each user's one after the other.
        codes: [n], their items' codes.
        size: number of codes.
    """
    from scipy.sparse import csr_matrix, diags

    found = csr_matrix((size, size), dtype=np.float32)
    for distance in range(1, WINDOW + 1):
        same = users[distance:] == users[:-distance]
        pairs = codes[:-distance][same], codes[distance:][same]
        found += csr_matrix((np.full(len(pairs[0]), 1 / distance, np.float32), pairs), shape=found.shape)
    totals = np.asarray(found.sum(axis=1)).ravel()
    return (diags(1 / (totals + SHRINKAGE)) @ found).astype(np.float32).tocsr()
