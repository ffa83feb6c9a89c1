"""Widths that depend on each other, checked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuning_shop import TINY

from cascade.config.load import config_with_origins
from cascade.core.errors import ConfigError
from cascade.tuning.configure import checked_space, trial_config
from cascade.tuning.widths import halving


@pytest.fixture
def given_config(tmp_path):
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)

    def load(*sets):
        return config_with_origins(file, sets, {})[0]

    return load


def trial(config, **drawn):
    return trial_config(config.given(), checked_space(config), {key.replace("__", "."): v for key, v in drawn.items()})


def test_halving():
    assert halving(64, 3) == [256, 128, 64]
    assert halving(64, 5) == [512, 512, 256, 128, 64], "capped"
    assert halving(1024, 2) == [1024, 1024], "an embedding may be wider than the cap"


@given(st.integers(1, 2048), st.integers(1, 6))
def test_halving_never_widens_and_ends_in_the_given_width(last, layers):
    widths = halving(last, layers)
    assert len(widths) == layers and widths[-1] == last and widths == sorted(widths, reverse=True)


def test_embed_dim_and_layers_of_the_towers(given_config):
    config = given_config("tune.two_tower.layers=[2, 3]", "tune.two_tower.embed_dim=[16, 32]")
    towers = trial(config, two_tower__layers=3, two_tower__embed_dim=32).two_tower
    assert towers.user_tower.mlp == towers.item_tower.mlp == [128, 64, 32]
    assert towers.user_tower.emb_dims == {"user_id": 32} and towers.item_tower.emb_dims == {"item_id": 32}


def test_embed_dim_and_layers_of_the_ranker(given_config):
    config = given_config("tune.dlrm_ranker.layers=[3, 4]", "tune.dlrm_ranker.embed_dim=[16]")
    ranker = trial(config, dlrm_ranker__layers=4, dlrm_ranker__embed_dim=16).dlrm_ranker
    assert (ranker.bottom_mlp, ranker.top_mlp) == ([32, 16], [64, 32, 16, 1])
    assert ranker.embedding_dims == {"user_id": 16, "item_id": 16}


def test_the_other_tower_is_adapted(given_config):
    config = given_config("tune.two_tower.item_tower.mlp=[[8, 4], [8, 6]]")
    assert trial(config, two_tower__item_tower__mlp="[8, 6]").two_tower.user_tower.mlp == [8, 6]


def test_towers_that_are_both_tuned_are_not_adapted(given_config):
    config = given_config(*(f"tune.two_tower.{side}_tower.mlp=[[8, 4], [8, 6]]" for side in ("user", "item")))
    with pytest.raises(ConfigError, match="user_tower.mlp ends in 4 and two_tower.item_tower.mlp in 6"):
        trial(config, two_tower__user_tower__mlp="[8, 4]", two_tower__item_tower__mlp="[8, 6]")


def test_the_widths_of_history_and_item_ids_are_kept_equal(given_config):
    sets = ["two_tower.user_tower.emb_dims.history=4", "two_tower.item_tower.emb_dims.item_id=4"]
    of_item = given_config(*sets, "tune.two_tower.item_tower.emb_dims.item_id=[4, 8]")
    assert trial(of_item, two_tower__item_tower__emb_dims__item_id=8).two_tower.user_tower.emb_dims == {"history": 8}
    of_user = given_config(*sets, "tune.two_tower.user_tower.emb_dims.history=[4, 8]")
    assert trial(of_user, two_tower__user_tower__emb_dims__history=8).two_tower.item_tower.emb_dims == {"item_id": 8}
