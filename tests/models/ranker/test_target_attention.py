"""Target attention: by hand, its inputs, and the agreement of its two orders of computation."""

import numpy as np
import pytest
from dlrm_inputs import SCHEMA, columns, small

from cascade.core.errors import ConfigError
from cascade.core.features import Feature, FeatureSchema
from cascade.models._merlin import tf
from cascade.models.layers.feature_vectors import embedding_tables
from cascade.models.layers.history_items import ItemVectors, by_code
from cascade.models.onnx.export import (
    export,
    run,
    session,
    specs,
)
from cascade.models.ranker.dlrm import build
from cascade.models.ranker.side import Layout
from cascade.models.ranker.target_attention import TargetAttention

HISTORY = Feature("history", "user", "categorical", 6, 3, "item_id")
GAP = Feature("history_gap", "user", "categorical", 5, 6)
WITH_GAP = FeatureSchema((*SCHEMA.features[:4], GAP, *SCHEMA.features[4:]))
CATALOGUE = {
    "item_id": np.array([[3], [4], [2], [2], [5]]),
    "category": np.array([[1], [2], [3], [4], [1]]),
    "price": np.array([[0.5], [1.5], [2.5], [3.5], [4.5]], np.float32),
}


def item_vectors(width, features=(), gap=None):
    made = [HISTORY, *features, *([gap] if gap else [])]
    tables = embedding_tables(made, {"item_id": width, "category": 2, "history_gap": 2})
    values = {f: by_code(HISTORY.cardinality, f, CATALOGUE, "key") for f in features}
    return ItemVectors(tables["item_id"], values, tables, gap)


def attention(layout, heads=1, hidden=2, width=2, seed=0):
    """The layer with random weights."""
    made = TargetAttention(item_vectors(width), 3, layout, heads, hidden, dropout=0.2)
    made.user_part({"history": np.ones((1, 3), np.int64)})
    rng = np.random.default_rng(seed)
    for weight in made.weights:
        weight.assign(rng.normal(size=weight.shape))
    return made


def share(layer, history, items, many=False):
    """The term [B, K, H] of histories [B, 3] and candidate vectors [B, K, W]."""
    items = np.asarray(items, "f4")
    shape = tuple(tf.unstack(tf.shape(items)[:2]))
    user = layer.user_part({"history": np.asarray(history, np.int64)}, many=many)
    query = layer.item_part(tf.constant(items.reshape(-1, items.shape[-1])))["item_query"]
    found = layer.pair(user, {"item_query": tf.reshape(query, [*shape, -1])}, shape)
    return found.numpy().reshape(*shape, -1)


def test_by_hand():
    layer = attention(Layout((1,), False))
    embeddings = np.zeros((6, 2))
    embeddings[3], embeddings[4] = [1, 0], [0, 2]
    layer.items.table.table.embeddings.assign(embeddings)
    layer.recency.assign([0, np.log(3), 9])
    layer.position.assign([[0, 0], [1, 0], [5, 5]])
    layer.query.assign([[np.sqrt(2) * np.log(2), 0]])  # of a candidate (1): q / sqrt(2) = (log 2, 0)
    layer.kernel.assign([[1, 0], [0, 10]])
    # x = (1, 0), (1, 2): scores log 2 and log 2 + log 3, weights 2/3 and 6/7
    expected = [2 / 3 + 6 / 7, 10 * 2 * 6 / 7]
    np.testing.assert_allclose(share(layer, [[3, 4, 0]], [[[1]]])[0, 0], expected, rtol=1e-6)
    # for a candidate of 0 only the recency counts: weights 1/2 and 3/4
    np.testing.assert_allclose(share(layer, [[3, 4, 0]], [[[0]]])[0, 0], [1 / 2 + 3 / 4, 15], rtol=1e-6)


@pytest.mark.parametrize("heads", [1, 3])
def test_both_orders_are_one_sum_over_the_heads(heads):
    layer, rng = attention(Layout((2, 3), False), heads, hidden=4), np.random.default_rng(1)
    history, items = [[3, 4, 5], [5, 0, 0], [0, 0, 0]], rng.normal(size=(3, 4, 5))
    x = layer.items.table.table.embeddings.numpy()[history] + layer.position.numpy()
    x *= (np.array(history) > 0)[..., None]
    expected = 0
    for q, w in zip(np.split(layer.query.numpy(), heads, axis=1), np.split(layer.kernel.numpy(), heads), strict=True):
        scores = np.einsum("bkd,bnd->bkn", items @ q, x) / np.sqrt(2) + layer.recency.numpy()
        expected = expected + np.einsum("bkn,bnd->bkd", 1 / (1 + np.exp(-scores)), x) @ w
    for many in (False, True):
        np.testing.assert_allclose(share(layer, history, items, many), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("many", [False, True])
def test_padding_does_not_count(many):
    layer, items = attention(Layout((2,), False)), [[[1, 2], [-3, 4]]]
    assert share(layer, [[0, 0, 0]], items, many).tolist() == [[[0, 0], [0, 0]]]
    before = share(layer, [[3, 0, 0]], items, many)
    layer.items.table.table.embeddings[0].assign([100.0, 100])
    np.testing.assert_array_equal(share(layer, [[3, 0, 0]], items, many), before)


def test_weights_start_as_the_reciprocal_of_the_position_and_one():
    layer = TargetAttention(item_vectors(2), 3, Layout((1,), False), 1, 2, 0.0)
    np.testing.assert_allclose(tf.sigmoid(layer.recency), [1 / 2, 1 / 3, 1 / 4], rtol=1e-6)


def test_features_by_code():
    """Codes of several items (out of vocabulary) and codes of no item have padding."""
    category, price = SCHEMA["category"], SCHEMA["price"]
    assert by_code(7, category, CATALOGUE, "key").tolist() == [[0], [0], [0], [1], [2], [1], [0]]
    assert by_code(7, price, CATALOGUE, "key").tolist() == [[0], [0], [0], [0.5], [1.5], [4.5], [0]]


def test_item_features_are_added_to_the_ids():
    gap = Feature("history_gap", "user", "categorical", 5, 3)
    layer = item_vectors(2, (SCHEMA["category"], SCHEMA["price"]), gap)
    asked = {"history": np.array([[3, 4, 2]]), "history_gap": np.array([[1, 2, 4]])}
    layer(asked)
    tables = {name: table.table.embeddings.numpy() for name, table in layer.tables.items()}
    beside = [tables["category"][[1, 2, 0]], [[0.5], [1.5], [0]], tables["history_gap"][[1, 2, 4]]]
    expected = tables["item_id"][[3, 4, 2]] + np.concatenate(beside, axis=1) @ layer.project.kernel.numpy()
    np.testing.assert_allclose(layer(asked)[0], expected, rtol=1e-5)


def attending(**options):
    return small(history={"kind": "target_attention", **options})


def test_the_gap_is_read_with_the_history_and_is_no_feature_on_its_own():
    pooled, read = build(WITH_GAP, small()), build(WITH_GAP, attending())
    assert "history_gap" in pooled.users.order and "history_gap" not in read.users.order
    batch = columns(WITH_GAP, 3, 4)
    other = {**batch, "history_gap": (batch["history_gap"] + 1) % 5}
    assert np.abs(read(batch) - read(other)).max() > 0
    assert build(SCHEMA, attending())(columns(SCHEMA, 3, 4)).shape == (3, 4)


def test_the_ranker_without_it_is_as_it_was():
    tf.keras.utils.set_random_seed(3)
    batch, expected = columns(SCHEMA, 2, 3), build(SCHEMA, small())(columns(SCHEMA, 2, 3)).numpy()
    tf.keras.utils.set_random_seed(3)
    plain = build(SCHEMA, small(history={"kind": "recency"}))
    np.testing.assert_array_equal(plain(batch), expected)
    assert plain.attention is None and "item_query" not in plain.part_widths


def test_the_order_of_the_history_matters_to_the_candidates():
    model = build(SCHEMA, attending(heads=2))
    batch = columns(SCHEMA, 1, 2)
    turned = {**batch, "history": batch["history"][:, ::-1]}
    assert np.abs(np.diff(model(batch) - model(turned))).max() > 0


@pytest.mark.parametrize(
    ("names", "catalogue", "message"),
    [
        (["categry"], CATALOGUE, r"history.features: no item feature 'categry'; did you mean 'category'\?"),
        (["geo"], CATALOGUE, "no item feature 'geo'"),
        (["item_id"], CATALOGUE, "no item feature 'item_id'"),
        (["category"], None, "reads category, so the model must be built with the items' tables"),
    ],
)
def test_unknown_features_are_named(names, catalogue, message):
    with pytest.raises(ConfigError, match=message):
        build(SCHEMA, attending(features=names), catalogue)


@pytest.fixture(scope="module", params=["dot", "concat", "cross"])
def exported(request, tmp_path_factory):
    """The model and its ONNX twin: several heads, item features, a time gap."""
    options = {"interactions": request.param, "history": {"kind": "target_attention", "heads": 2}}
    options["history"]["features"] = ["category", "price"]
    model, file = build(WITH_GAP, small(**options), CATALOGUE), tmp_path_factory.mktemp("onnx") / "ranker.onnx"
    model(columns(WITH_GAP, 1, 1))
    inputs = [*specs(WITH_GAP.side("user", "context"), None), *specs(WITH_GAP.side("item"), None, None)]
    export(file, model, inputs, "logits")
    return model, session(file)


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "candidates"), [(3, 5), (1, 1), (0, 3), (2, 0)])
def test_onnx_agrees_for_any_number_of_candidates(exported, batch, candidates):
    model, onnx = exported
    asked = columns(WITH_GAP, batch, candidates)
    asked["history"][1:] = 0  # of one user, and of some none
    expected = model(asked).numpy()
    got = run(onnx, asked)
    assert got.shape == expected.shape == (batch, candidates) and np.isfinite(got).all()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
