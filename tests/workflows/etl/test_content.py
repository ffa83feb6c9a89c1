"""Text and vectors of items in the data and etl stages."""

import importlib
import json

import mmh3
import numpy as np
import pyarrow as pa
import pytest

from cascade.core.errors import ConfigError, DataError
from cascade.workflows.config import EtlConfig
from cascade.workflows.data.vectors import vector_columns
from cascade.workflows.etl import text
from cascade.workflows.etl.tensors import Tensors

INTERACTIONS = {
    "user_id": [1, 1, 1, 2, 2, 2],
    "item_id": ["a", "b", "c", "b", "a", "d"],
    "timestamp": [1, 2, 3, 1, 2, 3],
}
ITEMS = {
    "item_id": ["a", "b", "c", "d", "e"],
    "title": ["Red shoe", "red", None, "Blue shoe", "!"],
    "image": pa.array([[3.0, 4.0, 0.0], None, [0.0, 0.0, 2.0], [0.0, 1.0, 0.0], []], pa.list_(pa.float64())),
}
SHOP = {"interactions": INTERACTIONS, "users": {"user_id": [1, 2], "bio": ["x", "y"]}, "items": ITEMS}
SCHEMA = {"sparse": ["user_id", "item_id"], "text": ["title"], "vectors": ["image"]}


def with_images(images):
    return {**SHOP, "items": {**ITEMS, "image": images}}


@pytest.fixture
def tensors(run_data, run_etl):
    return Tensors.load(run_etl(run_data(SCHEMA, SHOP), SCHEMA, text={"length": 3, "ngrams": [], "buckets": 1000}).path)


def test_text_is_a_padded_list_of_codes(tensors):
    red, shoe, blue = (mmh3.hash(f"<{word}>", 0, signed=False) % 1000 + 1 for word in ("red", "shoe", "blue"))
    assert tensors.items["title"].tolist() == [[red, shoe, 0], [red, 0, 0], [0, 0, 0], [blue, shoe, 0], [0, 0, 0]]
    assert tensors.items["title"].dtype == np.int32
    feature = tensors.schema["title"]
    assert (feature.kind, feature.cardinality, feature.length, feature.side) == ("categorical", 1001, 3, "item")


def test_vectors_have_length_1_or_are_missing(tensors):
    expected = [[0.6, 0.8, 0], [0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]
    np.testing.assert_allclose(tensors.items["image"], expected, rtol=1e-6)
    assert tensors.items["image"].dtype == np.float32
    feature = tensors.schema["image"]
    assert (feature.kind, feature.dims, feature.dtype, feature.cardinality) == ("vector", (3,), "float32", 0)


def test_a_vector_is_wider_than_other_lists_may_be(run_data, run_etl):
    wide = pa.array(np.eye(5, 40).tolist(), pa.list_(pa.float32()))
    tensors = Tensors.load(run_etl(run_data(SCHEMA, with_images(wide)), SCHEMA).path)
    np.testing.assert_array_equal(tensors.items["image"], np.eye(5, 40))


def test_whole_numbers_and_fixed_size_lists_are_vectors_too(run_data, run_etl):
    fixed = pa.array([[3, 4], [0, 0], [1, 0], [0, 5], [2, 0]], pa.list_(pa.int64(), 2))
    tensors = Tensors.load(run_etl(run_data(SCHEMA, with_images(fixed)), SCHEMA).path)
    np.testing.assert_allclose(tensors.items["image"], [[0.6, 0.8], [0, 0], [1, 0], [0, 1], [1, 0]], rtol=1e-6)


def test_a_missing_fixed_size_list_is_empty():
    """Parquet cannot store one, but a source can have one."""
    fixed = pa.chunked_array([pa.array([[3, 4], None, [1, 0]], pa.list_(pa.int64(), 2))] * 2)
    found = vector_columns(pa.table({"item_id": range(6), "image": fixed}), ["image"])["image"]
    assert found.type == pa.list_(pa.float32())
    assert found.to_pylist() == [[3, 4], [], [1, 0]] * 2


@pytest.mark.parametrize(
    "images, message",
    [
        ([[1.0, 2.0], [1.0], [1.0, 2.0], [3.0, 4.0], [1.0, 0.0]], "row 1 .item_id 'b'.: expected 2 numbers .* has 1"),
        ([[1.0, 2.0], [1.0, None], [1.0, 2.0], [3.0, 4.0], None], "row 1 .item_id 'b'.: expected finite numbers"),
        ([[1.0, 2.0], None, [1.0, float("nan")], [3.0, 4.0], None], "row 2 .item_id 'c'.: expected finite numbers"),
        ([[1.0, 2.0], None, [1.0, 1.0], [3.0, float("inf")], None], "row 3 .item_id 'd'.: expected finite numbers"),
        ([[], None, [], [], None], "no row holds a vector"),
    ],
)
def test_wrong_vectors_are_refused(run_data, images, message):
    with pytest.raises(DataError, match=rf"items.image.*{message}"):
        run_data(SCHEMA, with_images(pa.array(images, pa.list_(pa.float64()))))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"text": ["bio"]}, "schema.text: users.bio is not a column of items; only items have text and vectors"),
        ({"text": ["image"], "vectors": []}, "schema.text: items.image is of type list_float, expected text"),
        (
            {"vectors": ["title"], "text": []},
            "schema.vectors: items.title is of type string, expected a list of numbers; data.separators: {title: json}",
        ),
        ({"vectors": ["imag"]}, "schema.vectors: 'imag' is in no table, did you mean 'image'"),
        ({"sparse": ["user_id", "item_id", "title"]}, "schema: title is named twice"),
    ],
)
def test_columns_that_cannot_be_content(run_data, change, message):
    with pytest.raises(ConfigError, match=message):
        run_data({**SCHEMA, **change}, SHOP)


def test_no_view_of_the_feature_store_holds_vectors(run_data):
    from cascade.workflows.features.spec import feature_spec

    columns = json.loads((run_data(SCHEMA, SHOP).path / "tables.json").read_text())["columns"]
    assert feature_spec(columns, 10, left_out=["image"]).view("item_features").columns == {"title": "string"}
    assert "image" in feature_spec(columns, 10).view("item_features").columns


STAND_IN = """
import numpy as np


class SentenceTransformer:
    def __init__(self, folder, local_files_only=False):
        assert local_files_only

    def encode(self, texts, convert_to_numpy=False, show_progress_bar=True):
        return np.array([[3.0 * len(text), 4.0 * len(text)] for text in texts], np.float32)
"""


@pytest.fixture
def fresh_encoder():
    text.encoder.cache_clear()
    yield
    text.encoder.cache_clear()


def test_encoded_text_is_a_vector(run_data, run_etl, tmp_path, monkeypatch, fresh_encoder):
    """sentence-transformers is not installed here, so a stand-in with the same name is imported."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "sentence_transformers.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.delitem(importlib.import_module("sys").modules, "sentence_transformers", raising=False)
    (tmp_path / "model").mkdir()
    etl = run_etl(run_data(SCHEMA, SHOP), SCHEMA, text={"encoder": str(tmp_path / "model")})
    tensors = Tensors.load(etl.path)
    assert (tensors.schema["title"].kind, tensors.schema["title"].dims) == ("vector", (2,))
    expected = [[0.6, 0.8], [0.6, 0.8], [0, 0], [0.6, 0.8], [0.6, 0.8]]
    np.testing.assert_allclose(tensors.items["title"], expected, rtol=1e-6)


def test_an_encoder_that_is_not_there(run_data, run_etl, tmp_path, monkeypatch, fresh_encoder):
    data = run_data(SCHEMA, SHOP)
    with pytest.raises(ConfigError, match="etl.text.encoder: .*nowhere is not a folder; models are never downloaded"):
        run_etl(data, SCHEMA, text={"encoder": str(tmp_path / "nowhere")})
    monkeypatch.setitem(importlib.import_module("sys").modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match=r"needs sentence-transformers.*merlin-cascade\[text\]"):
        run_etl(data, SCHEMA, text={"encoder": str(tmp_path)})


def test_defaults_are_within_reason():
    config = EtlConfig().text
    assert (config.buckets, config.length, config.ngrams, config.encoder) == (20_000, 64, [3, 4, 5], None)


def test_held_out_items_are_new(run_data, run_etl):
    """With data.split.by new_items they are out of vocabulary, in no training history, and all of the test part."""
    rng = np.random.default_rng(0)
    events = {"user_id": np.repeat(np.arange(20), 10), "item_id": rng.integers(0, 30, 200), "timestamp": np.arange(200)}
    tables = {"interactions": events, "users": {"user_id": np.arange(20)}, "items": {"item_id": np.arange(30)}}
    schema = {"sparse": ["user_id", "item_id"]}
    etl = run_etl(run_data(schema, tables, split={"by": "new_items", "item_share": 0.2}), schema)
    tensors = Tensors.load(etl.path)
    new = tensors.items["item_id"][:, 0] == 2
    assert new.sum() == 6 and (tensors.item_counts[new] == 0).all()
    assert new[tensors.interactions("test").item_row].all()
    for split in ("train", "valid"):
        part = tensors.interactions(split)
        assert len(part) and not new[part.item_row].any() and not (np.asarray(part.history) == 2).any()
    assert (np.asarray(tensors.interactions("test").history) == 2).any()
