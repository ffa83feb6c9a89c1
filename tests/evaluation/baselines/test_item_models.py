"""ItemKNN and EASE, compared by hand and with the closed forms."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.evaluation.baselines import item_knn
from cascade.evaluation.baselines import past as past_module
from cascade.evaluation.baselines.ease import (
    EaseSetting,
    RecencyEaseSetting,
    ease_scores,
    ease_weights,
    recency_ease_scores,
)
from cascade.evaluation.baselines.item_knn import ItemKnnSetting, item_knn_scores, nearest_items
from cascade.evaluation.baselines.past import Past
from cascade.evaluation.baselines.popularity import PopularitySetting, popularity
from cascade.evaluation.baselines.sequences import UserSequences


def past_of(lists, items, times=None):
    """One list of item rows, in order of time, for each user."""
    users = np.repeat(np.arange(len(lists)), [len(own) for own in lists])
    rows = np.array([item for own in lists for item in own])
    sequences = UserSequences(users.astype("i4"), rows.astype("i4"), len(lists), items)
    return Past(sequences, np.arange(len(rows)) if times is None else np.asarray(times))


def drawn(seed, users=40, items=12):
    """Items of rising popularity, the third without any."""
    rng = np.random.default_rng(seed)
    taken = rng.random((users, items)) < np.linspace(0.1, 0.7, items)
    taken[:, 2] = False
    return past_of([rng.permutation(np.flatnonzero(row)) for row in taken], items), taken.astype(float)


def test_similarities_are_cosines_with_shrinkage():
    past = past_of([[0, 1], [0, 1], [0, 3], [1]], 4)
    got = nearest_items(past, ItemKnnSetting(neighbours=9, shrinkage=1.0)).toarray()
    # users: item 0 has 3, item 1 has 3, item 3 has 1, nobody item 2: it has no row
    want = [[0, 2 / (3 + 1), 1 / (3**0.5 + 1)], [2 / (3 + 1), 0, 0], [1 / (3**0.5 + 1), 0, 0]]
    assert got == pytest.approx(np.array(want))
    scores = item_knn_scores(past, ItemKnnSetting(9, 1.0))(np.array([2, 3]))
    assert scores == pytest.approx(np.array([[1 / (3**0.5 + 1), 0.5, 0, 1 / (3**0.5 + 1)], [0.5, 0, 0, 0]]))


def test_an_item_is_scored_by_its_nearest_neighbours_only():
    past = past_of([[0, 1], [0, 1], [0, 3], [1]], 4)
    scores = item_knn_scores(past, ItemKnnSetting(1, 0.0))(np.array([2]))
    # the nearest of items 0 and 1 are each other, that of item 3 is item 0
    assert scores == pytest.approx(np.array([[0, 2 / 3, 0, 1 / 3**0.5]]))


@given(st.integers(0, 1000), st.integers(1, 12), st.sampled_from([0.0, 3.0]))
@settings(max_examples=15, deadline=None)
def test_large_catalogues_have_the_same_neighbours(seed, neighbours, shrinkage):
    past, _ = drawn(seed)
    setting = ItemKnnSetting(neighbours, shrinkage)
    small = nearest_items(past, setting)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_knn, "KEPT_ITEMS", 0)
        patch.setattr(item_knn, "BLOCK", 30)
        large = nearest_items(past, setting)
    assert np.sort(large.toarray(), axis=1) == pytest.approx(np.sort(small.toarray(), axis=1))  # ties at the end
    assert np.array_equal(np.diff(large.indptr), np.minimum(np.diff(large.indptr), neighbours))


def closed_form(taken, regularization):
    """P, and EASE's weights, of the items with a positive."""
    inverse = np.linalg.inv(taken.T @ taken + regularization * np.eye(taken.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return inverse, weights


@pytest.mark.parametrize("kept", [100, 0])
@given(st.integers(0, 1000), st.sampled_from([1.0, 30.0]))
@settings(max_examples=15, deadline=None)
def test_ease_equals_the_closed_form_of_its_paper(kept, seed, regularization):
    past, taken = drawn(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(past_module, "KEPT_ITEMS", kept)
        got = ease_scores(past, EaseSetting(regularization))(np.arange(40))
    want, known = np.zeros_like(taken), past.known
    want[:, known] = taken[:, known] @ closed_form(taken[:, known], regularization)[1]
    assert got == pytest.approx(want, abs=1e-5)


@given(st.integers(0, 1000), st.integers(1, 11))
@settings(max_examples=15, deadline=None)
def test_rare_items_are_predicted_from_popular_ones_by_ridge_regression(seed, most):
    past, taken = drawn(seed)
    got = ease_weights(past, 5.0, most).scores(past.matrix)
    order = past.known[np.argsort(-past.counts[past.known], kind="stable")]
    popular, rare = order[:most], order[most:]
    inverse, weights = closed_form(taken[:, popular], 5.0)
    want = np.zeros_like(taken)
    want[:, popular] = taken[:, popular] @ weights
    want[:, rare] = taken[:, popular] @ inverse @ taken[:, popular].T @ taken[:, rare]
    assert got == pytest.approx(want, abs=1e-5)


def test_scoring_does_not_copy_the_weights():
    rng = np.random.default_rng(0)
    past = past_of([rng.choice(600, 8, replace=False) for _ in range(2000)], 600)
    weights = ease_weights(past, 5.0)
    batch = past.matrix[:4]
    want = batch.toarray() - batch @ weights.inverse.astype("f8") / np.diag(weights.inverse)
    tracemalloc.start()
    got = weights.scores(batch)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < weights.inverse.nbytes / 2
    assert got == pytest.approx(want, abs=1e-5)


def test_newer_items_count_more():
    past, taken = drawn(3)
    got = recency_ease_scores(past, RecencyEaseSetting(10.0, decay=0.5))(np.arange(40))
    history = np.zeros_like(taken)
    for user, item in zip(past.sequences.users[::-1], past.sequences.items[::-1], strict=True):
        history[user, item] = 0.5 ** (history[user] > 0).sum()
    want, known = np.zeros_like(taken), past.known
    want[:, known] = history[:, known] @ closed_form(taken[:, known], 10.0)[1]
    assert got == pytest.approx(want, abs=1e-5)


def test_popularity_counts_the_newest_positives():
    past = past_of([[0, 1], [0, 1], [0, 2]], 4, times=[0, 9, 1, 8, 2, 7])
    assert popularity(past, PopularitySetting(1.0)).tolist() == [3, 2, 1, 0]
    got = popularity(past, PopularitySetting(0.5))  # the newer half: 7, 8 and 9
    assert got == pytest.approx([3e-6, 2, 1, 0], rel=1e-3) and list(np.argsort(-got)) == [1, 2, 0, 3]


def test_a_sample_of_the_past_has_whole_users():
    past, taken = drawn(1, users=400)
    some = past.of_some_users(300, np.array([7]), seed=0)
    owners = np.unique(some.sequences.users)
    assert 200 < len(some.times) < 450 and 7 in owners
    assert np.array_equal(some.matrix[owners].toarray(), taken[owners])
    popular = past.of_popular_items(3)
    assert sorted(popular.known) == [9, 10, 11] and (popular.counts[9:] == past.counts[9:]).all()
