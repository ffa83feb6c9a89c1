"""Item embeddings of the ranker begin at the retriever's vectors."""

import numpy as np
import pytest

from cascade.core.features import Feature
from cascade.models.layers.feature_vectors import embedding_tables
from cascade.models.ranker.warm_start import fitted, start_at

ITEM = Feature("item_id", "item", "categorical", 7)
CODES = np.array([3, 5, 6, 6, 2])
"""Two items share a code, one is out of vocabulary."""
VECTORS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def table(width):
    return embedding_tables([ITEM], {"item_id": width})["item_id"]


def test_rows_of_one_item_are_its_vector_and_others_stay():
    own = table(3)
    own(np.zeros((1, 1), np.int64))
    before = own.table.embeddings.numpy()
    start_at(own, CODES, VECTORS)
    after = own.table.embeddings.numpy()
    np.testing.assert_array_equal(after[[3, 5]], VECTORS[:2])
    others = [0, 1, 2, 4, 6]
    np.testing.assert_array_equal(after[others], before[others])


def test_a_table_that_is_not_built_yet_is():
    own = table(3)
    start_at(own, CODES, VECTORS)
    np.testing.assert_array_equal(own.table.embeddings.numpy()[3], VECTORS[0])


def test_more_numbers_are_zeros():
    np.testing.assert_array_equal(fitted(VECTORS, 5), np.pad(VECTORS, ((0, 0), (0, 2))))


@pytest.mark.parametrize("width", [1, 2])
def test_fewer_numbers_keep_inner_products_best(width):
    left, values, _ = np.linalg.svd(VECTORS, full_matrices=False)
    best = left[:, :width] * values[:width]
    got = fitted(VECTORS, width)
    assert got.shape == (5, width)
    np.testing.assert_allclose(got @ got.T, best @ best.T, atol=1e-5)
