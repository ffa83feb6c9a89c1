"""Registered baselines of other packages. They score the whole catalogue; this module ranks and masks the items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ...core.errors import ConfigError
from ...core.registry import find, naming
from ..ranking_lists import BATCH, Row, Rows, first_unseen
from ..retrieval import best
from .sequences import UserSequences

UserScores = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""User rows [B] -> scores of all items, float32 [B, n_items]. An item with score -inf is not shown."""


class Baseline(Protocol):
    """A registered baseline, which ranks the catalogue for each user."""

    def __call__(self, positives: csr_matrix, sequences: UserSequences, /) -> UserScores:
        """Fit it.

        Args:
            positives: bool [n_users, n_items], what happened before the test part.
            sequences: the same positives, each user's in order of time.

        Returns:
            A function from user rows int64 [B] to the scores of all items, float32 [B, n_items]. Higher is better; an
            item of score -inf is not shown. Seen items are masked afterwards, and users without a positive are never
            passed.
        """
        ...


def rank_registered(
    name: str,
    positives: csr_matrix,
    sequences: UserSequences,
    users: NDArray[np.int64],
    seen: csr_matrix,
    popular: Row,
    k: int,
) -> Rows:
    """The best ``k`` unseen items [U, k] by the scores of the baseline ``name``.

    A user without a positive gets the ``popular`` items, as with the built-in baselines.

    Raises:
        ConfigError: if there is no such baseline, it raises, or its scores have the wrong shape or contain NaN.
    """
    fit: Baseline = find("baseline", name, {})
    with naming("baseline", name):
        score = fit(positives, sequences)
    known = np.diff(positives.indptr)[users] > 0

    def scores(batch: slice) -> NDArray[np.float32]:
        with naming("baseline", name):
            found = np.array(score(users[known][batch]), np.float32)
        shape = (len(users[known][batch]), seen.shape[1])
        if found.shape != shape or np.isnan(found).any():
            raise ConfigError(
                f"baseline {name!r}: expected scores float32 {list(shape)} without NaN, got {list(found.shape)}"
            )
        return found

    ranked = np.empty((len(users), k), np.int64)
    ranked[known] = best(scores, seen[known], k, BATCH)
    ranked[~known] = first_unseen(popular, seen[~known], k)
    return ranked
