"""The top-N baselines on a data set that is small enough to know the right answers."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.evaluation.baselines import top_n
from cascade.evaluation.baselines.sequences import UserSequences

# Two tastes, repeated ten times: users 0-3 like items 0-2, users 4-7 like items 3-5. Nobody has item 6; user 80 is new.
TASTES = np.array(
    [[1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0, 0]]
    + [[0, 0, 0, 1, 1, 1, 0]] * 4,
    dtype=bool,
)
POSITIVES = csr_matrix(np.vstack([np.tile(TASTES, (10, 1)), np.zeros((1, 7), bool)]))
SEQUENCES = UserSequences(*(rows.astype(np.int32) for rows in POSITIVES.nonzero()), *POSITIVES.shape)
USERS = np.array([0, 3, 80])
SEEN = POSITIVES[USERS]


def ranked(k=3):
    return top_n.rank_baselines(POSITIVES, SEQUENCES, USERS, SEEN, k, top_n.BASELINES)


def test_popularity_counts_users_and_breaks_ties_by_row():
    # users, in tens: item 0 has 4, items 1 and 2 have 3, items 3 to 5 have 4
    assert ranked(7)["popularity"].tolist() == [
        [3, 4, 5, 2, -1, -1, -1],
        [3, 4, 5, 1, -1, -1, -1],
        [0, 3, 4, 5, 1, 2, -1],
    ]


@pytest.mark.parametrize("name", ["ials", "ease", "markov"])
def test_personalized_baselines_find_the_taste(name):
    assert ranked()[name][:2, 0].tolist() == [2, 1]


@pytest.mark.parametrize("name", ["ials", "ease", "markov"])
def test_a_new_user_gets_popular_items(name):
    assert ranked()[name][2].tolist() == [0, 3, 4]


@pytest.mark.parametrize("name", ["popularity", "ials", "ease", "markov"])
def test_seen_items_are_masked_even_if_not_positive(name):
    shown = csr_matrix(np.array([[1, 1, 0, 1, 1, 0, 0], [1, 0, 1, 0, 0, 1, 0], [0] * 7], dtype=bool))
    found = top_n.rank_baselines(POSITIVES, SEQUENCES, USERS, shown, 7, [name])
    assert list(found) == [name]
    for user, rows in zip(shown.toarray(), found[name], strict=True):
        assert not user[rows[rows >= 0]].any()


def test_without_times_there_is_no_markov_chain():
    unordered = replace(SEQUENCES, ordered=False)
    found = top_n.rank_baselines(POSITIVES, unordered, USERS, SEEN, 3, ["popularity", "markov"])
    assert "no timestamps" in found["markov"]
    assert found["popularity"].shape == (3, 3)


def test_ease_equals_the_closed_form_of_its_paper():
    rng = np.random.default_rng(5)
    taken = rng.random((40, 12)) < np.linspace(0.1, 0.7, 12)  # popularity differs, so B is not symmetric
    taken[:, 0] |= ~taken.any(axis=1)
    inverse = np.linalg.inv(taken.T.astype(float) @ taken + top_n.EASE_REGULARIZATION * np.eye(12))
    weight = -inverse / np.diag(inverse)
    np.fill_diagonal(weight, 0)
    scores = np.where(taken, -np.inf, taken @ weight)
    want = np.argsort(-scores, axis=1)[:, :3]
    want = np.where(np.isinf(np.take_along_axis(scores, want, axis=1)), -1, want)
    matrix = csr_matrix(taken)
    sequences = UserSequences(*(rows.astype(np.int32) for rows in matrix.nonzero()), 40, 12)
    assert np.array_equal(top_n.rank_baselines(matrix, sequences, np.arange(40), matrix, 3, ["ease"])["ease"], want)


def test_ease_says_that_it_is_skipped(monkeypatch, caplog):
    monkeypatch.setattr(top_n, "EASE_MAX_ITEMS", 6)
    got = ranked()
    assert "7 items" in got["ease"] and got["ials"].shape == (3, 3)
    assert "ease skipped" in caplog.text
