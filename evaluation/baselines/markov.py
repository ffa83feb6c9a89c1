"""A first-order Markov chain over items (Shani et al., "An MDP-based recommender system", 2005).

It uses only the order of items. Where the next item depends on the last few, it beats models that ignore the order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from .past import Past
from .registered import UserScores
from .sequences import UserSequences

LAST = 5
"""Number of a user's last items that the next one is predicted from."""
POPULARITY = 1e-6
"""Weight of an item's share of all positives, which orders the items that no transition leads to."""


@dataclass(frozen=True)
class MarkovSetting:
    """What is tuned."""

    decay: float = 0.5
    """Weight of an item relative to the item after it."""
    prior: float = 10.0
    """Pseudo-count of transitions that lead to no item."""


GRID = {"decay": (0.3, 0.7, 0.9), "prior": (1.0, 3.0, 30.0)}


def transitions(sequences: UserSequences, prior: float) -> csr_matrix:
    """Transition probabilities [n_items, n_items]: how often an item was directly followed by another, divided by the
    number of its transitions plus ``prior``."""
    follows = np.flatnonzero(sequences.users[1:] == sequences.users[:-1])
    cells = (np.ones(len(follows), np.float32), (sequences.items[follows], sequences.items[follows + 1]))
    counts = csr_matrix(cells, shape=(sequences.n_items, sequences.n_items))
    leaving = np.asarray(counts.sum(axis=1)).ravel() + prior
    return csr_matrix(diags(np.divide(1, leaving, where=leaving > 0, out=np.zeros_like(leaving))) @ counts)


def markov_scores(past: Past, setting: MarkovSetting) -> UserScores:
    """The sum over a user's last items of decay^(items since) * transitions."""
    chain = transitions(past.sequences, setting.prior)
    popular = POPULARITY * past.counts / max(1, past.counts.sum())

    def scores(users: NDArray[np.int64]) -> NDArray[np.float32]:
        last = past.sequences.last(users, LAST)
        at, since = np.nonzero(last >= 0)
        weights = csr_matrix((setting.decay**since, (at, last[at, since])), shape=(len(users), len(past.counts)))
        return np.asarray((weights @ chain).toarray() + popular, np.float32)

    return scores
