"""Building the retriever, and one training."""

import numpy as np
import pytest

from cascade.core.errors import ConfigError, DivergedError
from cascade.core.features import Feature, FeatureSchema
from cascade.models import metrics
from cascade.models.config import TowerConfig, TrainingConfig, TwoTowerConfig
from cascade.models.layers.feature_gather import Lookup
from cascade.models.retriever.encode import encode_items, encode_users
from cascade.models.retriever.negatives import Catalogue
from cascade.models.retriever.objective import Objective
from cascade.models.retriever.training import make_step, train, valid_ranks
from cascade.models.retriever.two_tower import build
from cascade.models.retriever.user_items import user_items
from cascade.models.training.rows import (
    Events,
    item_columns,
    unknown_user,
    user_columns,
)

TOWER = TowerConfig(default_dim=8, mlp=[16, 8])


def config(epochs=6, **options):
    training = TrainingConfig(epochs=epochs, batch_size=128, learning_rate=5e-3, patience=6)
    return TwoTowerConfig(user_tower=TOWER, item_tower=TOWER, training=training, **options)


@pytest.fixture(scope="module")
def trained(tensors, tmp_path_factory):
    return train(tensors, config(id_dropout=0.3), tmp_path_factory.mktemp("checkpoint"))


def some(tensors, count=6):
    return Events.positives(tensors.interactions("train")).take(np.arange(count))


def test_vectors_have_length_one(tensors):
    model = build(tensors.schema, config())
    users, items = model((user_columns(tensors, some(tensors)), item_columns(tensors, np.arange(6))))
    assert users.shape == items.shape == (6, 8)
    np.testing.assert_allclose(np.linalg.norm(users, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1, rtol=1e-5)


def test_history_is_looked_up_in_the_item_towers_table(tensors):
    model = build(tensors.schema, config())
    model((user_columns(tensors, some(tensors)), item_columns(tensors, np.arange(6))))
    names = [v.name for v in model.trainable_variables if "item_id" in v.name]
    assert len(names) == 1


def test_padding_at_the_end_of_a_history_changes_nothing(tensors):
    model = build(tensors.schema, config())
    columns = user_columns(tensors, some(tensors, 1))
    short = {**columns, "history": np.array([[7, 8, 0, 0, 0]])}
    other = {**columns, "history": np.array([[7, 8, 9, 0, 0]])}
    assert np.allclose(model.query(short), model.query(short)) and not np.allclose(
        model.query(short), model.query(other)
    )


GUIDE = FeatureSchema(
    (
        *(Feature(n, "user", "categorical", c) for n, c in [("user_id", 50), ("geo", 9), ("device", 5)]),
        Feature("history", "user", "categorical", 40, 6, "item_id"),
        Feature("session_time", "context", "continuous"),
        *(Feature(n, "item", "categorical", c) for n, c in [("item_id", 40), ("brand", 9), ("category", 5)]),
        Feature("price", "item", "continuous"),
    )
)


def test_the_guides_section_builds():
    section = {
        "user_tower": {"emb_dims": {"user_id": 64, "geo": 16, "device": 8}, "mlp": [256, 128, 64]},
        "item_tower": {"emb_dims": {"item_id": 64, "brand": 16, "category": 16}, "mlp": [256, 128, 64]},
        "loss": "bpr",
        "neg_sampling": "in_batch",
    }
    model = build(GUIDE, TwoTowerConfig.model_validate(section))
    users = {f.name: np.ones((3, *f.dims), f.dtype) for f in GUIDE.side("user", "context")}
    assert model.query(users).shape == (3, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neg_sampling": "hard", "negatives": {"share": 0.01}}, "two_tower.negatives.share: 0.01 of .*per_query 8"),
        ({"temperature": 0.01, "learn_temperature": True}, "two_tower.temperature: is 0.01, .*learn_temperature"),
        ({"user_tower": {"emb_dims": {"gio": 8}}}, r"user_tower.emb_dims.gio: no such .* did you mean 'geo'\?"),
        ({"item_tower": {"mlp": [8, 4]}}, "user_tower.mlp ends in 64, two_tower.item_tower.mlp in 4"),
        (
            {"user_tower": {"emb_dims": {"item_id": 7}}},
            r"user_tower.emb_dims.item_id: is 7, .*item_tower.emb_dims.item_id 16",
        ),
    ],
)
def test_what_does_not_fit_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        build(GUIDE, TwoTowerConfig.model_validate(options))


def test_a_width_for_a_feature_of_the_other_tower_is_allowed():
    build(GUIDE, TwoTowerConfig.model_validate({"user_tower": {"emb_dims": {"brand": 8}}}))


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["bpr", "softmax", "sampled_softmax"])
def test_the_loss_of_a_step_by_numpy(loss, tensors):
    section = config(loss=loss, id_dropout=0.0)
    model, lookup = build(tensors.schema, section), Lookup(tensors)
    events = Events.positives(tensors.interactions("train")).take(np.arange(0, 1600, 25))
    queries, items = model((lookup.users(events.queries()), lookup.items(events.item_row)))
    counts, rows = tensors.item_counts, events.item_row
    logits = queries.numpy() @ items.numpy().T / 0.1
    if loss != "softmax":
        logits -= np.log(counts / counts.sum())[rows]
    wrong = rows[:, None] != rows[None, :]
    own = np.diag(logits)[:, None]
    if loss == "bpr":
        expected = np.log1p(np.exp(logits - own))[wrong].mean()
    else:
        expected = (np.log(np.exp(own) + (np.exp(logits) * wrong).sum(axis=1, keepdims=True)) - own).mean()
    objective = Objective(section, counts, Catalogue(counts, 0.0), len(rows), 1)
    got = make_step(model, lookup, section, objective)({**events.queries(), "item_row": rows})
    assert wrong.mean() > 0.9 and float(got) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["bpr", "softmax", "sampled_softmax"])
def test_every_loss_learns_the_tastes(loss, tensors, tmp_path):
    """Four tastes of fifteen items each: a random order finds the next item at a mean full NDCG of about 0.23."""
    model, found = train(tensors, config(loss=loss), tmp_path)
    assert found.score > 0.28 and found.losses[-1] < found.losses[0]


@pytest.mark.slow
def test_the_best_epoch_is_kept(trained, tensors):
    model, found = trained
    source, shape = tensors.interactions("train"), (len(tensors.user_ids), len(tensors.item_ids))
    valid = Events.positives(tensors.interactions("valid"))
    ranks = valid_ranks(model, Lookup(tensors), valid, user_items(source, shape))
    assert metrics.target_ndcg(ranks).mean() == pytest.approx(found.score)


@pytest.mark.slow
def test_a_training_that_diverges_stops_and_names_model_and_epoch(tensors, tmp_path):
    training = TrainingConfig(epochs=5, batch_size=128, learning_rate=1e38)
    options = TwoTowerConfig(user_tower=TOWER, item_tower=TOWER, training=training)
    with pytest.raises(DivergedError, match="two_tower, epoch 1: .* scores are NaN: the model has diverged"):
        train(tensors, options, tmp_path)


@pytest.mark.slow
def test_same_seed_same_model(trained, tensors, tmp_path):
    again, _ = train(tensors, config(id_dropout=0.3), tmp_path)
    for first, second in zip(trained[0].get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_an_unknown_user_gets_popular_items(trained, tensors):
    model, _ = trained
    lookup = Lookup(tensors)
    unknown = {name: np.asarray(values)[None] for name, values in unknown_user(tensors.schema, tensors.users).items()}
    unknown["hour"] = np.zeros((1, 1), np.float32)
    scores = encode_items(model, lookup, len(tensors.item_ids)) @ model.query(unknown).numpy()[0]
    top = np.argsort(-scores)[:10]
    assert tensors.item_counts[top].mean() > 1.5 * tensors.item_counts.mean()


@pytest.mark.slow
def test_known_users_get_their_taste(trained, tensors):
    model, _ = trained
    lookup, events = Lookup(tensors), Events.of(tensors.interactions("test"))
    scores = encode_users(model, lookup, events) @ encode_items(model, lookup, len(tensors.item_ids)).T
    top = np.argsort(-scores, axis=1)[:, :10]
    assert (top % 4 == events.user_row[:, None] % 4).mean() > 0.5  # 0.25 by chance


@pytest.mark.slow
def test_without_a_validation_part_it_says_so(tmp_path):
    from model_shop import make_shop

    from cascade.workflows.etl.tensors import Tensors

    shop = make_shop(tmp_path, users=30, items=12, events=5, valid=False, rich=False)
    _, found = train(Tensors.load(shop["etl"].path), config(epochs=2), tmp_path / "checkpoint")
    assert found.metrics("ndcg")["notices"] == ["no validation part: trained for all 2 epochs"]
    assert found.best_epoch == 2


def test_the_shortcut_is_a_linear_map_of_the_inputs_beside_the_layers(tensors):
    columns = item_columns(tensors, np.arange(6))
    tower = build(tensors.schema, config()).candidate
    tower(columns)
    inputs, layers = tower.layers[0](columns), tower.layers[1]
    found = layers(inputs).numpy() - layers.layers(inputs).numpy()
    np.testing.assert_allclose(found, inputs.numpy() @ layers.straight.kernel.numpy(), atol=1e-6)
    plain = TowerConfig(default_dim=8, mlp=[16, 8], shortcut=False)
    without = build(tensors.schema, TwoTowerConfig(user_tower=plain, item_tower=plain)).candidate
    without(columns)
    assert len(tower.trainable_variables) == len(without.trainable_variables) + 1
