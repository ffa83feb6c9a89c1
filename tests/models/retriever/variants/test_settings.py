"""What `two_tower.auto` tries: nothing that the config sets."""

from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.core.features import HISTORY, Feature, FeatureSchema
from cascade.core.section import Leaf
from cascade.models.config import TowerConfig, TwoTowerConfig, conflicts
from cascade.models.retriever.stage import TWO_TOWER
from cascade.models.retriever.variants.settings import VARIANTS, inputs, possible, variants

SET = {
    "temperature": 0.2,
    "user_id_dropout": 0.0,
    "loss": "bpr",
    "user_tower.dropout": 0.0,
    "item_tower.dropout": 0.1,
    "user_tower.default_dim": 8,
    "item_tower.default_dim": 8,
    "item_tower.emb_dims.item_id": 32,
    "item_tower.emb_dims.genres": 4,
    "user_tower.emb_dims.user_id": 4,
    "user_tower.history.kind": "transformer",
    "user_tower.history.features": ["genres"],
    "training.recompute": True,
}
"""Key -> a value that a config may give it; some are defaults."""


def config_of(values):
    tree = {}
    for key, value in values.items():
        *above, last = key.split(".")
        reduce(lambda part, name: part.setdefault(name, {}), above, tree)[last] = value
    return TwoTowerConfig.model_validate(tree)


def at(config, key):
    return reduce(lambda part, name: part[name], key.split("."), config.model_dump())


@settings(deadline=None)
@given(st.sets(st.sampled_from(sorted(SET))))
def test_set_keys_stay_and_nothing_contradicts_them(keys):
    config = config_of({key: SET[key] for key in keys})
    for one in possible(config):
        own = one.of(config)
        assert [at(own, key) for key in keys] == [SET[key] for key in keys], one.name
        assert not list(conflicts(own)), one.name
        assert all(at(own, key) == value for key, value in one.changed.items())
        rest = config_of({**{key: SET[key] for key in keys}, **one.changed})
        assert own == rest, f"{one.name} changes nothing else"


@pytest.mark.parametrize(
    ("key", "left"),
    [
        ("temperature", {one.name for one in VARIANTS}),
        ("item_tower.default_dim", {"few user ids", "mean", "transformer"}),
        ("user_tower.dropout", {"few user ids", "wide items", "mean", "transformer"}),
        ("user_id_dropout", {"wide items and dropout", "wide items", "mean", "transformer"}),
        ("user_tower.history.kind", {one.name for one in VARIANTS} - {"mean", "transformer"}),
    ],
)
def test_what_is_left_of_them(key, left):
    assert {one.name for one in possible(config_of({key: SET[key]}))} == left


@pytest.mark.parametrize(("ordered", "history"), [(True, "transformer"), (False, "mean")])
def test_sets_and_sequences_have_their_own_history(ordered, history):
    feature = Feature(HISTORY, "user", "categorical", 9, 5, "item_id")
    names = [one.name for one in variants(TwoTowerConfig(), FeatureSchema((replace(feature, ordered=ordered),)))]
    assert names[0] == "configured" and set(names) & {"transformer", "mean"} == {history}
    assert len(names) == len(VARIANTS)


def test_a_tower_given_in_python_sets_only_its_own_keys():
    config = TwoTowerConfig(user_tower=TowerConfig(mlp=[8]), item_tower=TowerConfig(mlp=[8]))
    assert {one.name for one in possible(config)} == {one.name for one in VARIANTS}
    assert config.user_tower.mlp == [8] and config.user_tower.history.kind == "recency"


def test_the_artifact_depends_on_which_keys_are_set():
    """A set key and a default of the same value train other towers with `auto`, and the same ones without."""

    def key(config):
        return TWO_TOWER.key({"two_tower": config, "serving.seen": Leaf(value="auto")}, {})

    assert key(TwoTowerConfig(id_dropout=0.1, user_id_dropout=0)) == key(TwoTowerConfig())
    assert key(TwoTowerConfig(auto=True, user_id_dropout=0)) != key(TwoTowerConfig(auto=True))
    assert key(TwoTowerConfig(auto=True, loss="sampled_softmax")) == key(TwoTowerConfig(auto=True))
    assert inputs({"two_tower": TwoTowerConfig()}) == {}
