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
        """None if the training or the validation part has no positives."""
        past, valid = Past.read(tensors, ["train"]), Past.read(tensors, ["valid"])
        users = np.unique(valid.sequences.users).astype(np.int64)
        if not len(users) or not len(past.times):
            return None
        if len(users) > MOST_USERS:
            users = np.sort(np.random.default_rng(SEED).choice(users, MOST_USERS, replace=False))
        relevant = valid.matrix[users].astype(bool)
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
