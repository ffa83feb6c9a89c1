"""A widened catalogue: trained items are unchanged, added ones are copies with new ids."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from cascade.bench.catalogue.widening import Widening, write_rows
from cascade.core.errors import ArtifactError
from cascade.core.files import read_json
from cascade.models.onnx.export import run, session
from cascade.models.training.rows import item_columns
from cascade.workflows.etl.tensors import Tensors
from cascade.workflows.transforms.lookup_tables import load_codes

pytestmark = pytest.mark.slow

ITEMS = 1000


@pytest.fixture(scope="module")
def widening(shop):
    return Widening(shop.artifacts["etl"].path, ITEMS)


@pytest.fixture(scope="module")
def wide(widening, shop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")
    widening.write_etl(shop.artifacts["etl"].path, folder / "etl")
    widening.write_models(shop.artifacts["two_tower"].path, folder / "two_tower")
    return folder


def test_copies_have_the_features_of_their_originals_and_new_ids(widening, wide, shop):
    old, new = Tensors.load(shop.artifacts["etl"].path), Tensors.load(wide / "etl")
    trained = len(old.item_ids)
    for name, table in new.items.items():
        assert len(table) == ITEMS
        np.testing.assert_array_equal(table[:trained], old.items[name])
        if name != "item_id":
            np.testing.assert_array_equal(table[trained:], old.items[name][widening.originals])
    codes = new.items["item_id"][trained:, 0]
    cardinality = old.schema["item_id"].cardinality
    assert codes.tolist() == list(range(cardinality, cardinality + ITEMS - trained))
    assert new.schema["item_id"].cardinality == new.schema["history"].cardinality == codes[-1] + 1
    assert len(np.unique(new.item_ids)) == ITEMS
    rows = load_codes(wide / "etl" / "transforms", "item_rows")
    np.testing.assert_array_equal(rows(new.item_ids, -2, -1), np.arange(ITEMS))
    left, right = old.interactions("train"), new.interactions("train")
    np.testing.assert_array_equal(left.item_row, right.item_row)
    np.testing.assert_array_equal(left.history, right.history)


def test_the_tower_has_an_embedding_for_every_item(widening, wide, shop):
    old, new = Tensors.load(shop.artifacts["etl"].path), Tensors.load(wide / "etl")
    trained = len(old.item_ids)
    before = run(session(shop.artifacts["two_tower"].path / "item_tower.onnx"), item_columns(old, np.arange(trained)))
    after = run(session(wide / "two_tower" / "item_tower.onnx"), item_columns(new, np.arange(ITEMS)))
    np.testing.assert_allclose(after[:trained], before, atol=1e-6)
    cosine = np.einsum("nd,nd->n", after[trained:], before[widening.originals])
    others = after[trained:] @ before.T
    assert len(np.unique(after, axis=0)) == ITEMS
    assert np.mean(cosine) > np.mean(others) + 0.1


def test_tables_of_equal_size_are_an_error(widening, shop, tmp_path, monkeypatch):
    monkeypatch.setattr(Widening, "cardinality", widening.schema["user_id"].cardinality)
    with pytest.raises(ArtifactError, match="user_id and item_id have .* codes each"):
        widening.write_models(shop.artifacts["two_tower"].path, tmp_path / "out")


def test_rows_are_written_as_by_numpy(tmp_path):
    first, more = np.arange(6, dtype=np.float32).reshape(3, 2), np.arange(4, dtype=np.float32).reshape(2, 2)
    write_rows(tmp_path / "x.npy", first, 7, iter([more, more + 9]))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), np.concatenate([first, more, more + 9]))


def test_the_table_of_items_has_the_rows_of_the_copies(widening, wide, shop, tmp_path):
    old = shop.artifacts["data"].path
    widening.write_data(old, tmp_path)
    before, after = (pq.read_table(folder / "items.parquet").to_pylist() for folder in (old, tmp_path))
    assert [item["item_id"] for item in after] == Tensors.load(wide / "etl").item_ids.tolist()
    assert after[: len(before)] == before
    for copy, row in zip(after[len(before) :], widening.originals, strict=True):
        assert {**copy, "item_id": None} == {**before[row], "item_id": None}
    assert read_json(tmp_path / "tables.json")["n_items"] == ITEMS
