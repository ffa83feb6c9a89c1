"""The history encoder: its inputs, the configs that it rejects, and parity with ONNX."""

import numpy as np
import pytest

from cascade.core.errors import ConfigError
from cascade.core.features import Feature, FeatureSchema
from cascade.models._merlin import tf
from cascade.models.config import TwoTowerConfig
from cascade.models.layers.feature_vectors import embedding_tables
from cascade.models.layers.history_items import ItemVectors, by_code
from cascade.models.onnx.export import check_parity, export, specs
from cascade.models.retriever.two_tower import build
from cascade.workflows.transforms.codes import UNKNOWN_CODE

GENRES, PRICE = Feature("genres", "item", "categorical", 9, 3), Feature("price", "item", "continuous")
ITEM = Feature("item_id", "item", "categorical", 20)
HISTORY = Feature("history", "user", "categorical", 20, 6, "item_id")
GAP = Feature("history_gap", "user", "categorical", 5, 6)
PLAIN = FeatureSchema((Feature("user_id", "user", "categorical", 12), HISTORY, ITEM, GENRES, PRICE))
GAPS = FeatureSchema((PLAIN["user_id"], HISTORY, GAP, Feature("hour", "context", "continuous"), ITEM, GENRES, PRICE))
RNG = np.random.default_rng(0)
ITEMS = {
    "item_id": np.arange(3, 20, dtype=np.int32)[:, None],
    "genres": RNG.integers(0, 9, (17, 3)).astype(np.int32),
    "price": RNG.normal(size=(17, 1)).astype(np.float32),
}
KINDS = [
    {"kind": "recency"},
    {"kind": "mean"},
    {"kind": "attention"},
    {"kind": "attention", "query": "learned"},
    {"kind": "transformer", "layers": 2},
    {"kind": "transformer", "positions": "window", "recency": False},
]


def section(**history):
    tower = {"default_dim": 8, "mlp": [16, 8]}
    return TwoTowerConfig.model_validate({"user_tower": {**tower, "history": history}, "item_tower": tower})


def columns(schema, rows=7):
    """Users with histories of every length; the last one is unknown and has none."""
    codes = RNG.integers(3, 20, (rows, 6))
    lengths = np.append(np.arange(rows - 1) % 6 + 1, 0)
    codes[np.arange(6)[None] >= lengths[:, None]] = 0
    made = {"user_id": np.append(np.arange(rows - 1) + 3, UNKNOWN_CODE)[:, None], "history": codes}
    made |= {"history_gap": np.where(codes > 0, RNG.integers(1, 5, codes.shape), 0)}
    made |= {"hour": RNG.normal(size=(rows, 1)).astype(np.float32)}
    return {f.name: made[f.name][:rows].astype(f.dtype) for f in schema.side("user", "context")}


def shaken(model, users):
    """With random weights in place of the initial ones."""
    model.query(users)
    rng = np.random.default_rng(2)
    model.query.set_weights([w + rng.normal(scale=0.3, size=w.shape) for w in model.query.get_weights()])
    return model


@pytest.mark.slow
@pytest.mark.parametrize("schema", [PLAIN, GAPS], ids=["plain", "gaps"])
@pytest.mark.parametrize("history", KINDS, ids=str)
def test_onnx_computes_the_same(history, schema, tmp_path):
    users = columns(schema)
    model = shaken(build(schema, section(**history, features=["genres", "price"]), ITEMS), users)
    export(tmp_path / "q.onnx", model.query, specs(schema.side("user", "context"), None), "query")
    for rows in (7, 1, 0):
        some = {name: values[:rows] for name, values in users.items()}
        check_parity(tmp_path / "q.onnx", model.query(some).numpy(), some)


def test_by_default_nothing_has_changed():
    assert build(PLAIN, section()).query.blocks[0].history is None
    assert build(GAPS, section()).query.blocks[0].history.reads == ("history", "history_gap")


def test_items_are_ids_and_what_is_known_beside_them():
    tables = embedding_tables([ITEM, GENRES, GAP], {"item_id": 4, "genres": 2, "history_gap": 3})
    features = {f: by_code(20, f, ITEMS, "key") for f in (GENRES, PRICE)}
    layer = ItemVectors(tables["item_id"], features, tables, GAP)
    codes, gaps = np.array([[3, 7, UNKNOWN_CODE]]), np.array([[1, 4, 2]])
    got = layer({"history": codes, "history_gap": gaps}).numpy()[0]
    ids, genres, gap = (tables[name].table.embeddings.numpy() for name in ("item_id", "genres", "history_gap"))
    for at, (code, row) in enumerate([(3, 0), (7, 4), (UNKNOWN_CODE, None)]):
        own = [g for g in ITEMS["genres"][row] if g] if row is not None else []
        mean = genres[own].mean(axis=0) if own else np.zeros(2)
        price = ITEMS["price"][row] if row is not None else np.zeros(1)
        beside = np.concatenate([mean, price, gap[gaps[0, at]]])
        np.testing.assert_allclose(got[at], ids[code] + beside @ layer.project.kernel.numpy(), atol=1e-6)


def test_history_items_share_the_item_towers_tables():
    model = build(GAPS, section(kind="transformer", features=["genres"]), ITEMS)
    model((columns(GAPS), {f.name: tf.ones([2, *f.dims], f.dtype) for f in GAPS.side("item")}))
    for name in ("genres_table", "item_id_table", "history_gap_table"):
        assert len([v for v in model.trainable_variables if name in v.name]) == 1


def test_a_code_of_several_items_or_of_none_has_no_features():
    items = {"item_id": np.array([[3], [2], [2]]), "genres": np.array([[5, 6], [7, 0], [8, 0]])}
    assert by_code(5, GENRES, items, "key").tolist() == [[0, 0], [0, 0], [0, 0], [5, 6], [0, 0]]


KEY = r"two_tower\.user_tower\.history"


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({"kind": "mean", "heads": 4}, rf"{KEY}.heads: is for {KEY}.kind: transformer, which is mean"),
        ({"kind": "transformer", "query": "learned"}, rf"{KEY}.query: is for {KEY}.kind: attention, .* transformer"),
        ({"kind": "transformer", "heads": 3}, rf"{KEY}.heads: 3 do not divide .*item_tower.emb_dims.item_id, 8"),
        ({"features": ["genre"]}, rf"{KEY}.features: no item feature 'genre'; did you mean 'genres'\?"),
        ({"features": ["user_id"]}, rf"{KEY}.features: no item feature 'user_id'"),
        ({"targets": 7}, rf"{KEY}.targets: is 7, must be at most history.length, which is 6"),
    ],
)
def test_what_does_not_fit_is_named(history, message):
    with pytest.raises(ConfigError, match=message):
        build(PLAIN, section(**history), ITEMS)


def test_item_features_need_the_items():
    with pytest.raises(ConfigError, match=f"{KEY}.features: reads genres"):
        build(PLAIN, section(features=["genres"]))


def test_only_the_user_tower_has_a_history():
    with pytest.raises(ValueError, match="item_tower.history"):
        TwoTowerConfig.model_validate({"item_tower": {"history": {"kind": "mean"}}})
