"""Pooling and feature vectors."""

import numpy as np
import pytest

from cascade.core.features import Feature
from cascade.models._merlin import tf
from cascade.models.layers.feature_vectors import (
    FeatureVectors,
    MaskedMean,
    RecencyMean,
    TowerInputs,
    embedding_tables,
)

VECTORS = tf.constant([[[1.0, 10.0], [3.0, 30.0], [100.0, 100.0]]])


def test_masked_mean_excludes_padding():
    assert MaskedMean()(VECTORS, tf.constant([[5, 7, 0]])).numpy().tolist() == [[[2.0, 20.0]]]


def test_mean_of_an_empty_list_is_zero():
    assert MaskedMean()(VECTORS, tf.constant([[0, 0, 0]])).numpy().tolist() == [[[0.0, 0.0]]]
    assert RecencyMean()(VECTORS, tf.constant([[0, 0, 0]])).numpy().tolist() == [[[0.0, 0.0]]]


def test_recency_mean_starts_with_one_over_position():
    got = RecencyMean()(VECTORS, tf.constant([[5, 7, 9]])).numpy()
    np.testing.assert_allclose(got[0, 0, 0], (1 / 1 + 3 / 2 + 100 / 3) / (1 + 1 / 2 + 1 / 3), rtol=1e-6)


def test_last_item_is_returned_beside_the_mean():
    got = RecencyMean(last=True)(VECTORS, tf.constant([[5, 7, 9]])).numpy()
    np.testing.assert_array_equal(got[:, :1], RecencyMean()(VECTORS, tf.constant([[5, 7, 9]])).numpy())
    assert got[0, 1].tolist() == [1.0, 10.0]
    assert RecencyMean(last=True)(VECTORS, tf.constant([[0, 0, 0]])).numpy().tolist() == [[[0.0, 0.0], [0.0, 0.0]]]


ITEM = Feature("item_id", "item", "categorical", 8)
HISTORY = Feature("history", "user", "categorical", 8, 3, "item_id")
GENRES = Feature("genres", "item", "categorical", 5, 2)
PRICE = Feature("price", "item", "continuous")


def tables():
    return embedding_tables([ITEM, HISTORY, GENRES], {"item_id": 4, "genres": 2})


def test_one_table_per_vocabulary():
    made = tables()
    assert sorted(made) == ["genres", "item_id"]
    assert made["item_id"].table.input_dim == 8 and made["genres"].dim == 2


@pytest.mark.parametrize("leading", [(2,), (2, 5)], ids=["rows", "candidates"])
def test_vectors_keep_the_leading_axes(leading):
    layer = FeatureVectors([ITEM, GENRES], tables())
    found = layer({"item_id": tf.ones([*leading, 1], tf.int64), "genres": tf.ones([*leading, 2], tf.int64)})
    assert found["item_id"].shape == (*leading, 1, 4) and found["genres"].shape == (*leading, 1, 2)


def test_a_list_of_length_one_is_pooled_too():
    one = Feature("genres", "item", "categorical", 5, 1)
    layer = FeatureVectors([one], tables())
    found = layer({"genres": tf.constant([[0], [3]])})["genres"].numpy()
    assert found.shape == (2, 1, 2) and not found[0].any() and found[1].any()


def test_tower_inputs_concatenate_all_features():
    layer = TowerInputs([ITEM, GENRES, PRICE], tables())
    columns = {"item_id": tf.constant([[3]]), "genres": tf.constant([[1, 0]]), "price": tf.constant([[0.5]])}
    got = layer(columns)
    assert got.shape == (1, 4 + 2 + 1) and float(got[0, -1]) == 0.5
    assert layer.schema.column_names == ["item_id", "genres", "price"]
