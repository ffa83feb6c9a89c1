"""The positives before a point in time: what baselines are fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .sequences import BEFORE_TEST, UserSequences, read_positives

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Split, Tensors

Made = TypeVar("Made")
KEPT_ITEMS = 4_000
"""Up to this many items, the Gram matrix is computed once and kept; it takes 64 MB."""
BLOCK = 512
"""Rows of it that are computed at once."""


@dataclass(frozen=True)
class Past:
    """P positives of U users."""

    sequences: UserSequences
    times: NDArray[np.int64]
    """[P], in the unit of the log."""

    @classmethod
    def read(cls, tensors: Tensors, splits: Sequence[Split] = BEFORE_TEST) -> Past:
        """The positives of these parts."""
        return cls(*read_positives(tensors, splits))

    @cached_property
    def matrix(self) -> csr_matrix:
        """float32 [n_users, n_items], 1 for a positive."""
        matrix = self.weighted(1)
        matrix.data[:] = 1
        return matrix

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """[n_items], positives."""
        return np.bincount(self.sequences.items, minlength=self.sequences.n_items)

    @cached_property
    def known(self) -> NDArray[np.int64]:
        """[n], the rows of the items with a positive."""
        return np.flatnonzero(self.counts)

    def users_in_common(self, some: slice) -> NDArray[np.float32]:
        """Rows of the Gram matrix: how many users have both items, for ``some`` of `known` and each of it, [B, n]."""
        if len(self.known) <= KEPT_ITEMS:
            return self._gram[some]
        return np.asarray(self.pairs(some).toarray())

    def pairs(self, some: slice) -> csr_matrix:
        """The same, sparse."""
        taken, turned = self._by_item
        return csr_matrix(turned[some] @ taken)

    @cached_property
    def _gram(self) -> NDArray[np.float32]:
        gram = np.empty((len(self.known), len(self.known)), np.float32)
        for start in range(0, len(gram), BLOCK):
            gram[start : start + BLOCK] = self.pairs(slice(start, start + BLOCK)).toarray()
        return gram

    @cached_property
    def _by_item(self) -> tuple[csr_matrix, csr_matrix]:
        """The columns of known items, [n_users, n], and the transpose."""
        taken = self.matrix[:, self.known]
        return taken, taken.T.tocsr()

    @cached_property
    def _last(self) -> dict[str, Any]:
        return {}

    def once(self, name: str, key: Any, make: Callable[[], Made]) -> Made:
        """What ``make`` returns; the same again, if it was made for this ``key`` the last time."""
        if self._last.get(name, (None,))[0] != key:
            self._last.pop(name, None)  # frees the memory first
            self._last[name] = key, make()
        found: Made = self._last[name][1]
        return found

    def weighted(self, decay: float) -> csr_matrix:
        """float32 [n_users, n_items]: decay^(positives of the user since), summed over an item's positives."""
        users, items = self.sequences.users, self.sequences.items
        shape = self.sequences.n_users, self.sequences.n_items
        ends = np.searchsorted(users, users, "right")
        since = ends - 1 - np.arange(len(users))
        return csr_matrix((np.power(decay, since, dtype=np.float64).astype(np.float32), (users, items)), shape=shape)

    def keep(self, marked: NDArray[np.bool_]) -> Past:
        """The ``marked`` [P] positives."""
        kept = replace(self.sequences, users=self.sequences.users[marked], items=self.sequences.items[marked])
        return Past(kept, self.times[marked])

    def of_popular_items(self, most: int) -> Past:
        """The positives of the ``most`` most popular items."""
        if (self.counts > 0).sum() <= most:
            return self
        popular = np.zeros(len(self.counts), bool)
        popular[np.argsort(-self.counts, kind="stable")[:most]] = True
        return self.keep(popular[self.sequences.items])

    def of_some_users(self, most: int, always: NDArray[np.int64], seed: int) -> Past:
        """About ``most`` positives, if there are more: those of the users ``always``, and of others drawn at random."""
        users = self.sequences.users
        if len(users) <= most:
            return self
        drawn = np.random.default_rng(seed).random(self.sequences.n_users) < most / len(users)
        drawn[always] = True
        return self.keep(drawn[users])
