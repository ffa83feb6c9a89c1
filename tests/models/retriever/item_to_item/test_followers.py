"""What follows an item soon, by hand."""

import numpy as np

from cascade.models.retriever.item_to_item.followers import SHRINKAGE, followers


def test_by_hand():
    """User 0 has items 1, 2, 1, 3 in this order, user 1 has 2 and 3."""
    found = followers(np.array([0, 0, 0, 0, 1, 1]), np.array([1, 2, 1, 3, 2, 3]), 4).toarray()
    pairs = {(1, 2): 1, (2, 1): 1, (2, 3): 1 / 2 + 1, (1, 3): 1 + 1 / 3, (1, 1): 1 / 2}
    totals = {1: 1 + 1 / 2 + 1 + 1 / 3, 2: 1 + 1 / 2 + 1}
    expected = np.zeros((4, 4))
    for (item, other), count in pairs.items():
        expected[item, other] = count / (totals[item] + SHRINKAGE)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_users_with_one_item_have_no_followers():
    assert followers(np.array([0, 1, 2]), np.array([1, 1, 2]), 3).nnz == 0
    assert followers(np.zeros(0, int), np.zeros(0, int), 3).nnz == 0
