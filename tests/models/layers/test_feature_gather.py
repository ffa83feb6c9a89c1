"""Gathering features from tables of tensors."""

import numpy as np

from cascade.models.layers.feature_gather import Columns

TABLES = {
    "item_id": np.array([[3], [4], [5]], np.int32),
    "price": np.array([[0.5], [1.5], [2.5]], np.float32),
    "genres": np.array([[1, 2], [3, 0], [0, 0]], np.int32),
    "image": np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.float32),
}


def test_columns_of_several_dtypes_and_lengths():
    rows = np.array([[2, 0], [1, 1]])
    found = Columns(TABLES)(rows)
    assert list(found) == list(TABLES)
    for name, table in TABLES.items():
        assert found[name].dtype == table.dtype
        np.testing.assert_array_equal(found[name], table[rows])


def test_a_side_without_features():
    assert Columns({})(np.arange(2)) == {}
