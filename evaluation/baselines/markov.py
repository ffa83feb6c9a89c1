"""A first-order Markov chain over items (Shani et al., "An MDP-based recommender system", 2005).

It uses only the order of items. Where the next item depends on the last few, it beats models that ignore the order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from .sequences import UserSequences

LAST = 5
"""Number of a user's last items that the next one is predicted from."""
DECAY, PRIOR = 0.5, 10.0
"""Weight of an item relative to the item after it, and pseudo-count of transitions that lead to no item.

Both were chosen on the validation parts of MovieLens 1M and Amazon Beauty."""
POPULARITY = 1e-6
"""Weight of an item's share of all positives, which orders the items that no transition leads to."""


def transitions(sequences: UserSequences, prior: float = PRIOR) -> csr_matrix:
    """Transition probabilities [n_items, n_items]: how often an item was directly followed by another, divided by the
    number of its transitions plus ``prior``."""
    follows = np.flatnonzero(sequences.users[1:] == sequences.users[:-1])
    cells = (np.ones(len(follows), np.float32), (sequences.items[follows], sequences.items[follows + 1]))
    counts = csr_matrix(cells, shape=(sequences.n_items, sequences.n_items))
    leaving = np.asarray(counts.sum(axis=1)).ravel() + prior
    return csr_matrix(diags(np.divide(1, leaving, where=leaving > 0, out=np.zeros_like(leaving))) @ counts)


def markov_scores(sequences: UserSequences, users: NDArray[np.int64], chain: csr_matrix) -> NDArray[np.float32]:
    """Scores [B, n_items] of users [B]: the sum over their last items of DECAY^(items since) * transitions."""
    last = sequences.last(users, LAST)
    at, since = np.nonzero(last >= 0)
    weights = csr_matrix((DECAY**since, (at, last[at, since])), shape=(len(users), sequences.n_items))
    popular = np.bincount(sequences.items, minlength=sequences.n_items) / max(1, len(sequences.items))
    return np.asarray((weights @ chain).toarray() + POPULARITY * popular, np.float32)
