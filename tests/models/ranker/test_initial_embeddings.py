"""Warm start at the retriever's vectors, and new embeddings in each epoch."""

import numpy as np
import pytest
from model_shop import make_shop
from stage_runs import SECTIONS

from cascade.core.features import Feature
from cascade.models._merlin import mm
from cascade.models.config import DlrmConfig
from cascade.models.layers.feature_vectors import INITIAL, embedding_tables
from cascade.models.ranker.dlrm import build
from cascade.models.ranker.initial_embeddings import EmbeddingReset, fitted, warm_start
from cascade.models.ranker.rows import ImpressionRows
from cascade.models.ranker.training import train
from cascade.workflows.etl.tensors import Tensors

FEATURES = [Feature("user_id", "user", "categorical", 900), Feature("item_id", "item", "categorical", 7)]

CODES = np.array([3, 5, 6, 6, 2])
"""Two items share a code, one is out of vocabulary."""
VECTORS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


@pytest.fixture
def tables():
    found = list(embedding_tables(FEATURES, {"user_id": 4, "item_id": 3}).values())
    for table in found:
        table(np.zeros((1, 1), np.int64))
    return found


def values(tables):
    return [table.table.embeddings.numpy() for table in tables]


def test_each_epoch_draws_other_embeddings_like_the_first_ones(tables):
    first = values(tables)
    renew = EmbeddingReset(tables, 1, lambda: None)
    renew(2)
    second = values(tables)
    renew(3)
    third = values(tables)
    for one, other in ((first, second), (second, third)):
        assert all((a != b).mean() > 0.99 for a, b in zip(one, other, strict=True))
    assert np.abs(second[0]).max() <= INITIAL and second[0].std() == pytest.approx(first[0].std(), rel=0.05)
    assert second[0].mean() == pytest.approx(0, abs=INITIAL / 20)


def test_embeddings_depend_only_on_epoch_and_seed(tables):
    EmbeddingReset(tables, 1, lambda: None)(3)
    third = values(tables)
    renew = EmbeddingReset(tables, 1, lambda: None)
    renew(2)
    renew(3)
    assert all(map(np.array_equal, values(tables), third))
    EmbeddingReset(tables, 2, lambda: None)(3)
    assert not any(map(np.array_equal, values(tables), third))


def test_rows_that_do_not_begin_at_random_are_set_last(tables):
    rows = tables[1].table.embeddings
    EmbeddingReset(tables, 1, lambda: rows.assign(np.full(rows.shape, 7.0)))(2)
    assert (rows.numpy() == 7).all() and np.abs(values(tables)[0]).max() <= INITIAL


@pytest.mark.parametrize("kind", ["recency", "target_attention"])
def test_all_tables_of_the_ranker_are_reset(kind, tmp_path):
    """With target attention the table of the time gaps belongs to neither side."""
    tensors = Tensors.load(make_shop(tmp_path, label=True, gaps=True)["etl"].path)
    model = build(tensors.schema, DlrmConfig.model_validate({"history": {"kind": kind}}), tensors.items)
    names = [table.name for table in model.tables]
    every = [part.name for part in model.submodules if isinstance(part, mm.EmbeddingTable)]
    assert sorted(names) == sorted(every) and "history_gap_table" in names


@pytest.mark.slow
@pytest.mark.parametrize(("renew", "epochs"), [(True, 1), (True, 3), (False, 3)])
def test_the_last_epoch_starts_at_the_retrievers_vectors(renew, epochs, tmp_path):
    """Steps are so small that weights stay at their initial values; without validation the last epoch is kept."""
    shop = make_shop(tmp_path, label=True, valid=False)
    tensors = Tensors.load(shop["etl"].path)
    training = {"epochs": epochs, "learning_rate": 1e-12, "average": 0, "seed": 7, "renew_embeddings": renew}
    config = DlrmConfig.model_validate({**SECTIONS["dlrm_ranker"].model_dump(), "training": training})
    vectors = np.random.default_rng(0).normal(size=(len(tensors.item_ids), 8)).astype(np.float32)
    model, *_ = train(tensors, ImpressionRows(tensors, config), config, tmp_path / "checkpoint", vectors)
    codes = np.asarray(tensors.items["item_id"])[:, 0]
    of = {table.name: table.table.embeddings.numpy() for table in model.tables}
    np.testing.assert_allclose(of["item_id_table"][codes], fitted(vectors, 8), atol=1e-6)
    EmbeddingReset(model.tables, 7, lambda: None)(epochs)
    again = {table.name: table.table.embeddings.numpy() for table in model.tables}
    assert np.allclose(of["user_id_table"], again["user_id_table"], atol=1e-6) == (renew and epochs > 1)


def item_table(width):
    return embedding_tables([FEATURES[1]], {"item_id": width})["item_id"]


def test_rows_of_one_item_become_its_vector_and_others_stay():
    own = item_table(3)
    own(np.zeros((1, 1), np.int64))
    before = own.table.embeddings.numpy()
    warm_start(own, CODES, VECTORS)
    after = own.table.embeddings.numpy()
    np.testing.assert_array_equal(after[[3, 5]], VECTORS[:2])
    others = [0, 1, 2, 4, 6]
    np.testing.assert_array_equal(after[others], before[others])


def test_an_unbuilt_table_is_built():
    own = item_table(3)
    warm_start(own, CODES, VECTORS)
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
