"""What every baseline has to hold, as a test class to inherit from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from ..evaluation.baselines.registered import Baseline, UserScores
from ..evaluation.baselines.sequences import UserSequences

USERS, ITEMS, EACH = 30, 20, 5


class BaselineContract:
    """Inherit from it and set ``baseline`` (wrap a function in ``staticmethod``).

    The tests check that

    - the scores are [B, n_items] for any users with a positive, without NaN,
    - a user's scores do not depend on the batch, and a second fit gives the same,
    - the positives are not changed.
    """

    baseline: Baseline

    @pytest.fixture
    def sequences(self) -> UserSequences:
        """Users of two tastes; the last user has no positive."""
        rng = np.random.default_rng(0)
        items = [rng.permutation(ITEMS // 2)[:EACH] + ITEMS // 2 * (user % 2) for user in range(USERS - 1)]
        users = np.repeat(np.arange(USERS - 1), EACH)
        return UserSequences(users.astype(np.int32), np.concatenate(items).astype(np.int32), USERS, ITEMS)

    @pytest.fixture
    def positives(self, sequences: UserSequences) -> csr_matrix:
        cells = (np.ones(len(sequences.users), bool), (sequences.users, sequences.items))
        return csr_matrix(cells, shape=(USERS, ITEMS), dtype=bool)

    @pytest.fixture
    def scores(self, positives: csr_matrix, sequences: UserSequences) -> UserScores:
        before = positives.copy()
        fitted = type(self).baseline(positives, sequences)
        assert (positives != before).nnz == 0
        return fitted

    def test_scores_every_item(self, scores: UserScores) -> None:
        for users in (np.arange(USERS - 1), np.array([3]), np.array([], np.int64)):
            found = np.asarray(scores(users), np.float32)
            assert found.shape == (len(users), ITEMS)
            assert not np.isnan(found).any()

    def test_a_user_does_not_depend_on_the_batch(self, scores: UserScores) -> None:
        together = np.asarray(scores(np.arange(USERS - 1)))
        for user in (0, 7, USERS - 2):
            np.testing.assert_allclose(np.asarray(scores(np.array([user])))[0], together[user], rtol=1e-5)

    def test_a_second_fit_gives_the_same(
        self, scores: UserScores, positives: csr_matrix, sequences: UserSequences
    ) -> None:
        users = np.arange(USERS - 1)
        again = type(self).baseline(positives, sequences)
        np.testing.assert_allclose(np.asarray(again(users)), np.asarray(scores(users)), rtol=1e-5)
