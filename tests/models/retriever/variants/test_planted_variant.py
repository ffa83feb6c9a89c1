"""A log in which wide item ids must win, through the stage."""

import json

import numpy as np
import pytest
from model_shop import CODE, make_shop
from stage_runs import export_nothing, run_stage

from cascade.models.config import TwoTowerConfig
from cascade.models.retriever.stage import CHECKPOINT, CONFIG, TWO_TOWER, load_towers
from cascade.models.retriever.training import train
from cascade.workflows.etl.tensors import Tensors

pytestmark = pytest.mark.slow
ITEMS = 60
SET = {
    "auto": True,
    "auto_minutes": 20,
    "linear": 0,
    "neighbours": 0,
    "popular": 0,
    "user_id_dropout": 0.0,
    "user_tower": {"mlp": [32, 16], "dropout": 0.0, "history": {"kind": "recency"}},
    "item_tower": {"mlp": [32, 16]},
    "training": {"epochs": 5, "batch_size": 64, "learning_rate": 1e-2},
}
"""Everything that would be tried but wide item ids."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Each item is followed by the one seven further on, three times in four, and else by any: what follows an item is
    all that there is to learn, and 4 numbers for an item are too few."""
    shop = make_shop(tmp_path_factory.mktemp("chain"), users=300, items=ITEMS, events=8, rich=False)
    rng, etl = np.random.default_rng(0), shop["etl"].path
    items = (rng.integers(0, ITEMS, (300, 1)) + 7 * np.arange(8)) % ITEMS
    items = np.where(rng.random(items.shape) < 0.75, items, rng.integers(0, ITEMS, items.shape))
    for split, part in {"train": items[:, :-2], "valid": items[:, -2], "test": items[:, -1]}.items():
        np.save(etl / "interactions" / split / "item_row.npy", part.ravel().astype(np.int32))
    np.save(etl / "positives" / "code.npy", (items.ravel() + CODE).astype(np.int32))
    np.save(etl / "item_counts.npy", np.bincount(items[:, :-2].ravel(), minlength=ITEMS))
    return shop


@pytest.fixture(scope="module")
def artifact(shop, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cascade.models.retriever.stage.export_towers", export_nothing)
        return run_stage(tmp_path_factory.mktemp("runs"), TWO_TOWER, json.dumps(SET), shop)


def test_wide_items_win_and_are_what_is_loaded(artifact, shop):
    variants = artifact.metrics["variants"]
    assert (variants["chosen"], list(variants["tried"])) == ("wide items", ["configured", "wide items"])
    assert variants["sample"] == {"positives": 1800, "events": 300, "users": 300}
    kept = TwoTowerConfig.model_validate_json((artifact.path / CHECKPOINT / CONFIG).read_text())
    assert kept.item_tower.emb_dims == {"item_id": 64}
    model = load_towers(artifact.path, Tensors.load(shop["etl"].path))
    assert (ITEMS + CODE, 64) in {tuple(weight.shape) for weight in model.weights}


def test_the_training_is_that_of_a_config_with_the_chosen_settings(artifact, shop, tmp_path):
    """The trials before it leave nothing behind: no random state, no files."""
    config = TwoTowerConfig.model_validate_json((artifact.path / CHECKPOINT / CONFIG).read_text())
    tensors = Tensors.load(shop["etl"].path)
    own, _ = train(tensors, config, tmp_path)
    for first, second in zip(load_towers(artifact.path, tensors).get_weights(), own.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    assert {file.name for file in artifact.path.iterdir()} == {CHECKPOINT, "manifest.json"}
    assert [path.name for path in artifact.path.parent.iterdir()] == [artifact.path.name]
