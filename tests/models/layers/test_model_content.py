"""Text, pretrained vectors and item id dropout in the models."""

import dataclasses

import numpy as np
import pytest
from dlrm_inputs import columns
from model_shop import make_shop
from stage_runs import SECTIONS, TOWER, run_stages

from cascade.core.features import Feature, FeatureSchema
from cascade.models._merlin import tf
from cascade.models.config import DlrmConfig, TwoTowerConfig
from cascade.models.layers.feature_gather import Lookup
from cascade.models.layers.pretrained import Projection
from cascade.models.ranker.dlrm import build as build_dlrm
from cascade.models.retriever.encode import encode_items
from cascade.models.retriever.training import train
from cascade.models.retriever.two_tower import build
from cascade.models.training.memory_estimate import estimate
from cascade.workflows.etl.tensors import Tensors

SCHEMA = FeatureSchema(
    (
        Feature("user_id", "user", "categorical", 9),
        Feature("history", "user", "categorical", 7, 3, "item_id"),
        Feature("item_id", "item", "categorical", 7),
        Feature("title", "item", "categorical", 101, 6),
        Feature("image", "item", "vector", length=5),
    )
)


def test_a_vector_is_projected_and_a_missing_one_stays_0():
    layer = Projection(3)
    vectors = np.array([[[1, 2.0], [0, 0]]], np.float32)
    found = layer(vectors).numpy()
    assert found.shape == (1, 2, 1, 3)
    np.testing.assert_allclose(found[0, 0, 0], vectors[0, 0] @ layer.dense.kernel.numpy(), rtol=1e-6)
    assert not found[0, 1].any()


def test_widths_are_those_of_the_config():
    config = TwoTowerConfig.model_validate({"item_tower": {"emb_dims": {"title": 6, "image": 4}, "default_dim": 8}})
    model = build(SCHEMA, config)
    items = {f.name: np.ones((2, *f.dims), f.dtype) for f in SCHEMA.side("item")}
    assert model.candidate(items).shape == (2, 64)
    shapes = [tuple(w.shape) for w in model.candidate.trainable_variables]
    assert {(101, 6), (5, 4), (7, 8), (8 + 6 + 4, 128)} <= set(shapes)


@pytest.mark.parametrize("interaction", ["dot", "concat", "cross"])
def test_the_ranker_takes_vectors_and_its_parts_agree(interaction):
    section = {"embedding_dims": {"image": 4}, "default_dim": 8, "bottom_mlp": [16, 8], "top_mlp": [16, 1]}
    model = build_dlrm(SCHEMA, DlrmConfig.model_validate({**section, "interactions": interaction}))
    batch = columns(SCHEMA, 3, 4)
    whole = model(batch).numpy()
    assert len(model.items.layout.widths) == 3
    flat = {f.name: batch[f.name].reshape(12, -1) for f in SCHEMA.side("item")}
    part = model.item_part(flat).numpy()
    ends = np.cumsum([*model.part_widths.values()])[:-1]
    parts = zip(model.part_widths, np.split(part, ends, axis=1), strict=True)
    pair = {name: values.reshape(3, 4, -1) for name, values in parts}
    users = {f.name: batch[f.name] for f in SCHEMA.side("user")}
    np.testing.assert_allclose(model.pair({**users, **pair}), whole, rtol=1e-4, atol=1e-5)


def test_the_memory_estimate_counts_a_vector_once():
    model = build(SCHEMA, TwoTowerConfig.model_validate({"user_tower": {"mlp": [4]}, "item_tower": {"mlp": [4]}}))
    embedded = 16 * (1 + 3) + 16 * (1 + 6) + (5 + 16)
    projected, layers, compared = 16, 2 * (4 + 4), 10  # layers and shortcut
    assert model.step_size(10, 10).numbers == 10 * (embedded + projected + layers + compared)
    assert "image_projection" not in estimate(model, SECTIONS["two_tower"].training).tables


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Items with an image that shows their taste, and a random title."""
    return make_shop(tmp_path_factory.mktemp("content"), content=True)


def test_retriever_hides_the_id_in_all_rows_of_an_item(shop):
    tensors = Tensors.load(shop["etl"].path)
    lookup, rows = Lookup(tensors), np.tile(np.arange(40), 5)
    tf.keras.utils.set_random_seed(0)
    shown = lookup.items(rows, 0.5, at_once=True)
    codes = shown["item_id"].numpy()[:, 0]
    hidden = codes == 2
    assert 40 < hidden.sum() < 160
    assert (hidden.reshape(5, 40) == hidden[:40]).all()
    np.testing.assert_array_equal(codes[~hidden], tensors.items["item_id"][rows[~hidden], 0])
    np.testing.assert_array_equal(shown["image"], tensors.items["image"][rows])


def test_ranker_hides_ids_row_by_row(shop):
    tensors = Tensors.load(shop["etl"].path)
    rows = np.zeros((30, 20), np.int32)
    codes = Lookup(tensors).items(rows, 0.25)["item_id"].numpy()
    assert codes.shape == (30, 20, 1)
    assert 0.15 < (codes == 2).mean() < 0.35
    assert (Lookup(tensors).items(rows)["item_id"].numpy() == tensors.items["item_id"][0, 0]).all()


@pytest.mark.slow
def test_an_item_without_interactions_is_embedded_by_its_content(shop, tmp_path):
    """With their ids hidden, items are closest to those of their taste, which only their image shows."""
    tensors = Tensors.load(shop["etl"].path)
    section = TwoTowerConfig(
        **{**SECTIONS["two_tower"].model_dump(), "user_tower": TOWER, "item_tower": TOWER, "item_id_dropout": 0.3}
    )
    model, _ = train(tensors, section, tmp_path)
    new = dataclasses.replace(tensors, items={**tensors.items, "item_id": np.full((60, 1), 2, np.int32)})
    vectors, known = encode_items(model, Lookup(new), 60), encode_items(model, Lookup(tensors), 60)
    taste = np.arange(60) % 4
    centres = np.stack([known[taste == one].mean(axis=0) for one in range(4)])
    assert np.mean((vectors @ centres.T).argmax(axis=1) == taste) > 0.8


@pytest.mark.slow
def test_content_goes_through_the_stages_to_onnx(shop, tmp_path):
    """Towers, index and ranker with text and vectors; the exported models agree with TensorFlow."""
    parts = run_stages(tmp_path, shop)
    assert parts["two_tower"].metrics["onnx_max_difference"] < 1e-4
    assert parts["ranker"].metrics["onnx_max_difference"] < 1e-4
    assert parts["ranker"].metrics["split"]["max_difference"] < 1e-4
    vectors = np.load(parts["index"].path / "item_vectors.npy")
    assert vectors.shape == (60, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
