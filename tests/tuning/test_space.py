"""The section tune: valid entries, errors that name the key, and config values from what Optuna draws."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from tuning_shop import TINY

from cascade.config.load import config_with_origins
from cascade.core.errors import ConfigError
from cascade.tuning.configure import checked_space, trial_config
from cascade.tuning.space import default_space, read_space


@pytest.fixture
def config_file(tmp_path):
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    return file


def space(config_file, *entries):
    return checked_space(config_with_origins(config_file, [f"tune.{entry}" for entry in entries], {})[0])


def test_choices_and_ranges_become_distributions_of_the_keys_type(config_file):
    found = space(
        config_file,
        "two_tower.training.learning_rate={low: 1e-4, high: 1e-2, log: true}",
        "two_tower.training.batch_size={low: 64, high: 256, step: 64}",
        "two_tower.temperature={low: 1, high: 2}",
        "two_tower.loss=[bpr, softmax]",
        "two_tower.user_tower.mlp=[[8, 4], [16, 8, 4]]",
        "dlrm_ranker.training.learning_rate=[1e-4, 1e-3]",
    )
    assert list(found.distributions().values()) == [
        FloatDistribution(1e-4, 1e-2, log=True),
        IntDistribution(64, 256, step=64),
        FloatDistribution(1, 2),
        CategoricalDistribution(["bpr", "softmax"]),
        CategoricalDistribution(["[8, 4]", "[16, 8, 4]"]),
        CategoricalDistribution([1e-4, 1e-3]),
    ]


def test_a_drawn_value_becomes_a_config_value(config_file):
    config, _ = config_with_origins(config_file, ["tune.two_tower.user_tower.mlp=[[8, 4], [16, 8, 4]]"], {})
    trial = trial_config(config.given(), checked_space(config), {"two_tower.user_tower.mlp": "[16, 8, 4]"})
    assert trial.two_tower.user_tower.mlp == [16, 8, 4] and trial.tune == {}
    assert trial.two_tower.training.epochs == 2, "keys of the file are kept"


def test_joined_keys_have_the_same_value(config_file):
    entry = 'tune={"two_tower.user_tower.mlp, two_tower.item_tower.mlp": [[8, 6], [8, 8]]}'
    config, _ = config_with_origins(config_file, [entry], {})
    trial = trial_config(config.given(), checked_space(config), dict.fromkeys(config.tune, "[8, 6]"))
    assert trial.two_tower.user_tower.mlp == trial.two_tower.item_tower.mlp == [8, 6]


BAD = {
    "two_tower.los=[bpr]": r"^tune.two_tower.los: no such key; did you mean two_tower.loss\?$",
    "two_tower.embed_dims=[8]": r"two_tower.embed_dims: no such key; did you mean two_tower.embed_dim\?",
    "two_tower.loss=bpr": "tune.two_tower.loss: is 'bpr', expected a list of choices, or {low: ..., high: ...}",
    "two_tower.loss=[bpp, softmax]": "^two_tower.loss: is 'bpp', should be 'bpr', .* did you mean 'bpr'",
    "two_tower.loss={low: 1, high: 2}": "^two_tower.loss: is 1",
    "two_tower.temperature={low: 2, high: 1}": "temperature.low: must be below high, low is 2.0 and high 1.0",
    "two_tower.temperature={low: 0, high: 1, log: true}": "temperature.log: needs low above 0, and no step",
    "two_tower.temperature={low: 1, choices: [1]}": "temperature.choices: cannot be combined with low",
    "two_tower.temperature={low: 1, hi: 2}": "tune.two_tower.temperature.hi: no such key",
    "two_tower.training.epochs={low: 0.5, high: 3}": "^two_tower.training.epochs: is 0.5",
    "two_tower.user_tower.mlp={low: 1, high: 3}": "^two_tower.user_tower.mlp: is 1",
    "two_tower.user_tower.emb_dims.gio=[8]": "tune.two_tower.user_tower.emb_dims.gio: .* did you mean 'geo'",
    "two_tower.layers=[0, 3]": "two_tower.layers: holds 0, expected whole numbers from 1 on",
    "dlrm_ranker.layers=[1]": "dlrm_ranker.layers: holds 1, expected whole numbers from 2 on",
    '{"two_tower.loss, two_tower.loss": [bpr]}': "tune.two_tower.loss: is given twice",
}


@pytest.mark.parametrize("entry", BAD)
def test_errors_are_found_before_the_first_trial(config_file, entry):
    with pytest.raises(ConfigError, match=BAD[entry]):
        checked_space(
            config_with_origins(config_file, [f"tune={entry}" if entry[0] == "{" else f"tune.{entry}"], {})[0]
        )


def test_a_space_can_be_read_from_a_separate_file(tmp_path):
    inside, alone, empty = tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "c.yaml"
    inside.write_text("tune: {two_tower.loss: [bpr]}\n")
    alone.write_text("two_tower.loss: [bpr]\n")
    empty.write_text("tune: {}\n")
    assert read_space(inside) == read_space(alone) == {"two_tower.loss": ["bpr"]}
    with pytest.raises(ConfigError, match="c.yaml: tune: expected keys, each with choices or a range"):
        read_space(empty)


def test_the_default_space_fits_the_smallest_config(config_file):
    entries = [f"{name}={values}" for name, values in default_space().items()]
    found = space(config_file, *entries)
    assert len(found.parameters) == 6
    for at in (0, -1):
        drawn = {p.name: p.ends()[at] for p in found.parameters}
        trial_config(config_with_origins(config_file, environ={})[0].given(), found, drawn)
