"""The ranker's arithmetic."""

import numpy as np
import pytest

from cascade.core.errors import ConfigError
from cascade.core.features import Feature, FeatureSchema
from cascade.models.backend import mm, tf
from cascade.models.config import DlrmConfig
from cascade.models.dlrm import build, own_inputs, own_width
from cascade.models.ranker_data import ValidRows
from cascade.models.ranker_training import judge, positive_ranks

SCHEMA = FeatureSchema(
    (
        *(Feature(n, "user", "categorical", c) for n, c in [("user_id", 50), ("geo", 9), ("device", 5)]),
        Feature("history", "user", "categorical", 40, 6, "item_id"),
        Feature("session_time", "context", "continuous"),
        *(Feature(n, "item", "categorical", c) for n, c in [("item_id", 40), ("brand", 9), ("category", 5)]),
        Feature("price", "item", "continuous"),
        Feature("discount", "item", "continuous"),
    )
)
GUIDE = {
    "embedding_dims": {"user_id": 64, "item_id": 64, "brand": 16, "category": 16, "geo": 16, "device": 8},
    "bottom_mlp": [256, 128],
    "top_mlp": [256, 128, 1],
    "interactions": "dot",
    "loss": "bce",
}


def columns(schema, batch, candidates, seed=0):
    rng = np.random.default_rng(seed)
    made = {}
    for f in schema:
        shape = (batch, candidates, *f.dims) if f.side == "item" else (batch, *f.dims)
        made[f.name] = rng.integers(0, f.cardinality, shape) if f.kind == "categorical" else rng.normal(size=shape)
        made[f.name] = made[f.name].astype(f.dtype)
    return made


@pytest.fixture(scope="module")
def model():
    return build(SCHEMA, DlrmConfig.model_validate(GUIDE))


def test_one_user_with_many_candidates_is_many_pairs(model):
    batch = columns(SCHEMA, 3, 5)
    sides = {f.name: f.side for f in SCHEMA}
    pairs = {
        name: values.reshape(15, 1, -1) if sides[name] == "item" else np.repeat(values, 5, axis=0)
        for name, values in batch.items()
    }
    np.testing.assert_allclose(model(batch), model(pairs).numpy().reshape(3, 5), rtol=1e-4, atol=1e-6)


def test_the_products_are_dlrms(model):
    """Every pair of vectors once: what Merlin's interaction gives for user and item vectors stacked."""
    batch = columns(SCHEMA, 2, 1)
    users = model.users({f.name: batch[f.name] for f in model.users.features})
    items = model.items({f.name: batch[f.name] for f in model.items.features})[:, 0]
    stacked = mm.DotProductInteraction()(tf.concat([users, items], axis=1)).numpy()
    among = [mm.DotProductInteraction()(side).numpy() for side in (users, items)]
    across = np.einsum("bfd,bgd->bfg", users, items).reshape(2, -1)
    ours = np.concatenate([*among, across], axis=1)
    np.testing.assert_allclose(np.sort(ours), np.sort(stacked), rtol=1e-4, atol=1e-6)
    width = model.top_pair.kernel.shape[0] + model.top_user.kernel.shape[0]
    assert width == stacked.shape[1] + 2 * model.users.width  # and the two dense vectors


def test_own_inputs_are_the_dense_vector_and_merlins_products(model):
    batch = columns(SCHEMA, 3, 1)
    users = model.users({f.name: batch[f.name] for f in model.users.features})
    own = own_inputs(users, model.users).numpy()
    np.testing.assert_array_equal(own[:, : model.users.width], users[:, 0])
    np.testing.assert_allclose(own[:, model.users.width :], mm.DotProductInteraction()(users), rtol=1e-5, atol=1e-7)
    assert own.shape[1] == own_width(model.users) == 128 + 6 * 5 // 2


IDS_ALONE = FeatureSchema(
    (
        Feature("user_id", "user", "categorical", 9),
        Feature("history", "user", "categorical", 8, 1, "item_id"),
        Feature("item_id", "item", "categorical", 8),
    )
)


@pytest.mark.parametrize("schema", [SCHEMA, IDS_ALONE], ids=["rich", "ids alone"])
@pytest.mark.parametrize(("batch", "candidates"), [(3, 5), (1, 1)])
def test_a_pair_and_the_items_part_are_the_whole(schema, batch, candidates):
    model = build(schema, DlrmConfig(default_dim=4, bottom_mlp=[8, 6], top_mlp=[7, 3, 1]))
    made = columns(schema, batch, candidates)
    whole = model(made).numpy()
    items = {f.name: made[f.name].reshape(batch * candidates, -1) for f in schema.side("item")}
    slots, share = np.split(model.item_part(items).numpy(), [model.part_widths["item_slots"]], axis=1)
    assert share.shape == (batch * candidates, 7) and slots.shape[1] == 6 * model.items.count
    users = {f.name: made[f.name] for f in schema.side("user", "context")}
    parts = {"item_slots": slots.reshape(batch, candidates, -1), "item_share": share.reshape(batch, candidates, -1)}
    np.testing.assert_allclose(model.pair({**users, **parts}), whole, rtol=1e-5, atol=1e-6)


def test_slots_and_projections_of_the_guides_widths(model):
    model(columns(SCHEMA, 1, 1))
    assert model.users.order == ("user_id", "geo", "device", "history", "last_item")
    assert model.users.count == 6 and model.items.count == 4  # and a dense vector each
    assert {name: p.kernel.shape for name, p in model.items.project.items()} == {
        "item_id": (64, 128),
        "brand": (16, 128),
        "category": (16, 128),
    }


@pytest.mark.parametrize(("batch", "candidates"), [(2, 0), (0, 3), (1, 1)])
def test_any_number_of_users_and_candidates(model, batch, candidates):
    assert model(columns(SCHEMA, batch, candidates)).shape == (batch, candidates)


def test_ids_alone_are_enough():
    model = build(IDS_ALONE, DlrmConfig(default_dim=4, bottom_mlp=[4], top_mlp=[4, 1]))
    assert model(columns(IDS_ALONE, 2, 3)).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interactions": "cross"}, "dlrm_ranker.interactions: 'cross' is not built yet, use 'dot'"),
        ({"interactions": "concat"}, "dlrm_ranker.interactions: 'concat' is not built yet"),
        ({"embedding_dims": {"brend": 8}}, r"embedding_dims.brend: no such .* did you mean brand\?"),
        ({"top_mlp": [8]}, r"top_mlp: \[8\] must hold two layers or more and end in 1"),
        ({"top_mlp": [8, 2]}, "must hold two layers or more and end in 1"),
    ],
)
def test_what_is_not_built_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        build(SCHEMA, DlrmConfig.model_validate(options))


def test_ranks_of_positives_by_hand():
    logits = np.array([[1.0, 3.0, 2.0], [1.0, 2.0, 3.0], [5.0, 4.0, -np.inf]])
    label = np.array([[True, False, False], [False, False, False], [False, True, False]])
    assert positive_ranks(logits, label).tolist() == [2, -1, 1]
    judged = judge(logits, ValidRows(None, np.zeros((3, 3), np.int32), label))
    assert judged == pytest.approx((1 / 2 + 0 + 1 / np.log2(3)) / 3)
