"""The validation part of the log for baselines that rank the catalogue: fit on the training part, find what follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ...models import metrics
from ..ranking_lists import BATCH
from ..retrieval import best
from .past import Past
from .registered import UserScores

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors

MOST_USERS, MOST_POSITIVES = 2_000, 1_000_000
"""Users that settings are tried on, and positives that are fitted for it, of users drawn at random."""
ENOUGH_USERS = 1_000
"""With fewer users in the validation part, there are also requests of others."""
MOST_ITEMS = 3_000
"""Most popular items that item-item models are tried on."""
K, TUNED_BY = 20, "NDCG@20"
"""Settings are compared by the NDCG of so many items."""
SEED = 42


@dataclass(frozen=True)
class Validation:
    """Requests of U users after the training part. For some, it may be their first positive."""

    past: Past
    """The positives of the training part, of all users or of a sample that has the U users in it."""
    users: NDArray[np.int64]
    """[U], rows."""
    relevant: csr_matrix
    """bool [U, n_items], their positives of the validation part."""
    repeats: bool = False
    """Whether items of the past are ranked as well, see ``serving.seen``."""

    @classmethod
    def read(cls, tensors: Tensors, repeats: bool = False) -> Validation | None:
        """None if the training or the validation part has no positives.

        A validation part with few users is too small to choose by. Then the last positive of others is taken out of the
        training part as well.
        """
        past, valid = Past.read(tensors, ["train"]), Past.read(tensors, ["valid"])
        users, rng = np.unique(valid.sequences.users).astype(np.int64), np.random.default_rng(SEED)
        if not len(users) or not len(past.times):
            return None
        held_out = past.keep(np.zeros(len(past.times), bool))
        if len(users) < ENOUGH_USERS:
            last = _last_positives(past, users)
            last = last[np.sort(rng.permutation(len(last))[: MOST_USERS - len(users)])]
            taken = np.isin(np.arange(len(past.times)), last)
            held_out, past = past.keep(taken), past.keep(~taken)
            users = np.union1d(users, held_out.sequences.users).astype(np.int64)
        if len(users) > MOST_USERS:
            users = np.sort(rng.choice(users, MOST_USERS, replace=False))
        relevant = (valid.matrix[users] + held_out.matrix[users]).astype(bool)
        return cls(past.of_some_users(MOST_POSITIVES, users, SEED), users, relevant, repeats)

    def of_known_users(self) -> Validation | None:
        """The same for the users with a positive in the past; None if there are none."""
        known = np.diff(self.past.matrix.indptr)[self.users] > 0
        return replace(self, users=self.users[known], relevant=self.relevant[known]) if known.any() else None

    def of_popular_items(self) -> Validation:
        """The same with only the positives of the most popular items in the past."""
        return replace(self, past=self.past.of_popular_items(MOST_ITEMS))

    def ndcg(self, scores: UserScores) -> metrics.Values:
        """NDCG@20 of each user [U]."""
        seen = csr_matrix(self.relevant.shape) if self.repeats else self.past.matrix[self.users]
        ranked = best(lambda batch: np.array(scores(self.users[batch]), np.float32), seen, K, BATCH)
        return metrics.ndcg(*metrics.find_hits(ranked, self.relevant), K)


def _last_positives(past: Past, but: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places [W] in ``past`` of the last positive of each user with three or more, without the users ``but``."""
    users = past.sequences.users
    ends = np.flatnonzero(np.diff(users, append=-1))
    long = np.bincount(users, minlength=past.sequences.n_users)[users[ends]] >= 3
    return np.asarray(ends[long & ~np.isin(users[ends], but)])
