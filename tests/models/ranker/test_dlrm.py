"""The DLRM: its parts, its shapes and its validation score."""

import numpy as np
import pytest
from dlrm_inputs import SCHEMA, columns, small

from cascade.core import registry
from cascade.core.errors import ConfigError, DivergedError
from cascade.core.features import Feature, FeatureSchema
from cascade.models._merlin import mm, tf
from cascade.models.config import DlrmConfig
from cascade.models.ranker.dlrm import build
from cascade.models.ranker.interactions.dot import Dot, own_inputs, own_width
from cascade.models.ranker.item_part import split_part
from cascade.models.ranker.rows import ValidRows
from cascade.models.ranker.side import concat_vectors
from cascade.models.ranker.training import positive_ranks, validation_score
from cascade.models.training import random_state

GUIDE = {
    "embedding_dims": {"user_id": 64, "item_id": 64, "brand": 16, "category": 16, "geo": 16, "device": 8},
    "bottom_mlp": [256, 128],
    "top_mlp": [256, 128, 1],
    "interactions": "dot",
    "loss": "bce",
}


@pytest.fixture(scope="module")
def model():
    made = build(SCHEMA, DlrmConfig.model_validate(GUIDE))
    made(columns(SCHEMA, 1, 1))  # makes its variables
    return made


@pytest.mark.slow
def test_one_user_with_many_candidates_is_many_pairs(model):
    batch = columns(SCHEMA, 3, 5)
    sides = {f.name: f.side for f in SCHEMA}
    pairs = {
        name: values.reshape(15, 1, -1) if sides[name] == "item" else np.repeat(values, 5, axis=0)
        for name, values in batch.items()
    }
    np.testing.assert_allclose(model(batch), model(pairs).numpy().reshape(3, 5), rtol=1e-4, atol=1e-6)


def test_the_products_are_dlrms(model):
    """Every pair of vectors once, as Merlin's interaction of the stacked user and item vectors."""
    batch = columns(SCHEMA, 2, 1)
    users = model.users({f.name: batch[f.name] for f in model.users.features})
    items = model.items({f.name: batch[f.name] for f in model.items.features})[:, 0]
    stacked = mm.DotProductInteraction()(tf.concat([users, items], axis=1)).numpy()
    among = [mm.DotProductInteraction()(side).numpy() for side in (users, items)]
    across = np.einsum("bfd,bgd->bfg", users, items).reshape(2, -1)
    ours = np.concatenate([*among, across], axis=1)
    np.testing.assert_allclose(np.sort(ours), np.sort(stacked), rtol=1e-4, atol=1e-6)
    dot = model.interaction
    width = dot.top_pair.kernel.shape[0] + dot.top_user.kernel.shape[0]
    assert width == stacked.shape[1] + 2 * 128  # and the two dense vectors


def test_own_inputs_are_the_dense_vector_and_merlins_products(model):
    batch = columns(SCHEMA, 3, 1)
    users = model.users({f.name: batch[f.name] for f in model.users.features})
    own = own_inputs(users, model.users.layout).numpy()
    np.testing.assert_array_equal(own[:, :128], users[:, 0])
    np.testing.assert_allclose(own[:, 128:], mm.DotProductInteraction()(users), rtol=1e-5, atol=1e-7)
    assert own.shape[1] == own_width(model.users.layout) == 128 + 6 * 5 // 2


@pytest.mark.parametrize("method", ["__init__", "at_once"])
def test_errors_of_a_registered_interaction_name_it(method):
    def fails(*_):
        raise KeyError("odd")

    registry.register("interaction", "odd", type("Odd", (Dot,), {method: fails}))
    with pytest.raises(ConfigError, match="interaction 'odd': raised KeyError: 'odd'"):
        build(SCHEMA, small(interactions="odd"))(columns(SCHEMA, 2, 3))


IDS_ALONE = FeatureSchema(
    (
        Feature("user_id", "user", "categorical", 9),
        Feature("history", "user", "categorical", 8, 1, "item_id"),
        Feature("item_id", "item", "categorical", 8),
    )
)


KINDS = {
    "dot": {},
    "concat": {"interactions": "concat"},
    "cross": {"interactions": "cross"},
    "cross of low rank": {"interactions": "cross", "cross": {"layers": 3, "rank": 2}},
    "dot, target attention": {"history": {"kind": "target_attention"}},
    "concat, target attention": {"interactions": "concat", "history": {"kind": "target_attention", "heads": 3}},
    "cross, target attention": {"interactions": "cross", "history": {"kind": "target_attention", "heads": 2}},
}


@pytest.mark.slow
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("schema", [SCHEMA, IDS_ALONE], ids=["rich", "ids alone"])
@pytest.mark.parametrize(("batch", "candidates"), [(3, 5), (1, 1)])
def test_pair_model_and_item_parts_equal_the_whole_model(options, schema, batch, candidates):
    model = build(schema, small(**options))
    made = columns(schema, batch, candidates)
    whole = model(made).numpy()
    items = {f.name: made[f.name].reshape(batch * candidates, -1) for f in schema.side("item")}
    part = split_part(model.item_part(items).numpy(), model.part_widths)
    assert {name: values.shape for name, values in part.items()} == {
        name: (batch * candidates, width) for name, width in model.part_widths.items()
    }
    users = {f.name: made[f.name] for f in schema.side("user", "context")}
    parts = {name: values.reshape(batch, candidates, -1) for name, values in part.items()}
    np.testing.assert_allclose(model.pair({**users, **parts}), whole, rtol=1e-5, atol=1e-6)


def test_widths_of_an_items_part():
    """Items: one vector of width 6 from the bottom network, three of 6 (projected) or 4; users: one of 6, five of 4."""
    item, both = 6 + 3 * 4, (6 + 3 * 4) + (6 + 5 * 4)
    assert build(SCHEMA, small()).part_widths == {"item_slots": 4 * 6, "item_share": 7}
    assert build(SCHEMA, small(**KINDS["concat"])).part_widths == {"item_share": 7}
    assert build(SCHEMA, small(**KINDS["cross"])).part_widths == {"item_slots": item, "item_share": both}
    assert build(SCHEMA, small(**KINDS["cross of low rank"])).part_widths == {"item_slots": item, "item_share": 2}
    attending = build(SCHEMA, small(**KINDS["concat, target attention"])).part_widths
    assert attending == {"item_share": 7, "item_query": 3 * 4}


def test_logits_of_a_seed():
    """The logits of the first version, which had only dot: changes of other interactions must not change them."""
    tf.keras.utils.set_random_seed(7)
    got = build(SCHEMA, small())(columns(SCHEMA, 2, 3)).numpy()
    expected = [
        [-0.05229747295379639, -0.04611160606145859, -0.05082523822784424],
        [-0.018194377422332764, -0.02269139513373375, -0.021866144612431526],
    ]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_slots_and_projections_of_the_guides_widths(model):
    model(columns(SCHEMA, 1, 1))
    assert model.users.order == ("user_id", "geo", "device", "history", "last_item")
    assert model.users.layout.widths == (128,) * 6 and model.items.layout.widths == (128,) * 4  # and a dense one each
    assert {name: p.kernel.shape for name, p in model.items.project.items()} == {
        "item_id": (64, 128),
        "brand": (16, 128),
        "category": (16, 128),
    }


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(("batch", "candidates"), [(2, 0), (0, 3), (1, 1)])
def test_any_number_of_users_and_candidates(options, batch, candidates):
    assert build(SCHEMA, small(**options))(columns(SCHEMA, batch, candidates)).shape == (batch, candidates)


def test_ids_are_enough():
    model = build(IDS_ALONE, DlrmConfig(default_dim=4, bottom_mlp=[4], top_mlp=[4, 1]))
    assert model(columns(IDS_ALONE, 2, 3)).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"interactions": "cross", "default_dim": 2, "bottom_mlp": [4], "cross": {"rank": 24}},
            "dlrm_ranker.cross.rank: is 24, must be below the 24 numbers of all vectors side by side",
        ),
        ({"embedding_dims": {"brend": 8}}, r"embedding_dims.brend: no such .* did you mean 'brand'\?"),
        ({"top_mlp": [8]}, r"top_mlp: \[8\] must hold two layers or more and end in 1"),
        ({"top_mlp": [8, 2]}, "must hold two layers or more and end in 1"),
    ],
)
def test_config_errors_name_the_key(options, message):
    with pytest.raises(ConfigError, match=message):
        build(SCHEMA, DlrmConfig.model_validate(options))


def test_ranks_of_positives_by_hand():
    logits = np.array([[1.0, 3.0, 2.0], [1.0, 2.0, 3.0], [5.0, 4.0, -np.inf]])
    label = np.array([[True, False, False], [False, False, False], [False, True, False]])
    assert positive_ranks(logits, label).tolist() == [2, np.inf, 1]
    judged = validation_score(logits, ValidRows(None, np.zeros((3, 3), np.int32), label))
    assert judged == pytest.approx((1 / 2 + 0 + 1 / np.log2(3)) / 3)


@pytest.mark.parametrize("candidates", [1, 3])
def test_nan_logits_are_an_error_that_names_model_and_epoch(candidates):
    """NaN is not above any score: without the check a diverged model would seem to rank every positive first."""
    label, logits = np.zeros((2, candidates), bool), np.zeros((2, candidates), np.float32)
    label[0, 0], logits[1, 0] = True, np.nan
    rows = ValidRows(None, np.zeros((2, candidates), np.int32), label)
    with pytest.raises(DivergedError, match=r"ranker, epoch 3: 1 of \d scores are NaN: the model has diverged"):
        validation_score(logits, rows, "ranker, epoch 3")


@pytest.mark.slow
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("schema", [SCHEMA, IDS_ALONE], ids=["rich", "ids alone"])
def test_weights_made_with_one_candidate_are_those_of_many(options, schema, tmp_path):
    """With one candidate dot takes another path: same weights in the same file, and the same results."""
    made = []
    for candidates in (1, 2):
        tf.keras.utils.set_random_seed(3)
        model = build(schema, small(**options))
        model(columns(schema, 4, candidates))
        made.append(model)
    one, many = made
    for first, second in zip(one.get_weights(), many.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    one.save_weights(str(tmp_path / "model.weights.h5"))
    many.set_weights([np.zeros_like(w) for w in many.get_weights()])
    many.load_weights(str(tmp_path / "model.weights.h5"))
    batch = columns(schema, 4, 1)
    twice = {f.name: np.repeat(batch[f.name], 2, axis=1) if f.side == "item" else batch[f.name] for f in schema}
    np.testing.assert_allclose(many(twice), np.repeat(one(batch), 2, axis=1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_gradients_with_one_candidate_are_those_of_many(options):
    model = build(SCHEMA, small(**options))
    batch = columns(SCHEMA, 4, 1)
    twice = {f.name: np.repeat(batch[f.name], 2, axis=1) if f.side == "item" else batch[f.name] for f in SCHEMA}

    def gradients(made):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(made) - 1.0))
        return [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, model.trainable_variables)]

    for one, many in zip(gradients(batch), gradients(twice), strict=True):
        np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dropout", [0, 0.5])
@pytest.mark.parametrize("options", [{}, {"interactions": "concat"}], ids=["stacked", "side by side"])
def test_vectors_apart_are_those_beside_each_other_and_drop_the_same_numbers(options, dropout):
    side = build(SCHEMA, small(dropout=dropout, **options)).users
    made = side.pick(columns(SCHEMA, 4, 1))
    side(made)
    found = []
    for apart in (False, True):
        random_state.seed(3)
        found.append(side(made, training=True, apart=apart))
    together, alone = found
    assert [tuple(vector.shape) for vector in alone] == [(4, 1, width) for width in side.layout.widths]
    np.testing.assert_array_equal(concat_vectors(alone, side.stacked), together)
    assert (np.mean(together == 0) > 0.3) == bool(dropout)
