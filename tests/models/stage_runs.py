"""Run the model stages on small shops, and make inputs for their models."""

from types import SimpleNamespace

import numpy as np

from cascade.core.section import Leaf
from cascade.models.config import (
    DlrmConfig,
    RankerTrainingConfig,
    TowerConfig,
    TrainingConfig,
    TwoTowerConfig,
)
from cascade.models.index.stage import INDEX
from cascade.models.ranker.stage import RANKER
from cascade.models.retriever.stage import TWO_TOWER
from cascade.models.training.rows import Events, item_columns, user_columns

TOWER = TowerConfig(default_dim=8, mlp=[16, 8])
SECTIONS = {
    "two_tower": TwoTowerConfig(
        user_tower=TOWER,
        item_tower=TOWER,
        id_dropout=0.3,
        linear=0,
        neighbours=0,
        popular=0,
        training=TrainingConfig(epochs=5, batch_size=128, learning_rate=5e-3),
    ),
    "dlrm_ranker": DlrmConfig(
        default_dim=8,
        bottom_mlp=[16, 8],
        top_mlp=[16, 1],
        id_dropout=0.3,
        order_by="fused",
        refit=False,
        warm_start=True,
        training=RankerTrainingConfig(epochs=4, batch_size=2048, learning_rate=5e-3),
    ),
}


STAGES = {stage.name: stage for stage in (TWO_TOWER, INDEX, RANKER)}


class Ann(SimpleNamespace):
    def model_dump(self, **how):
        return vars(self)


def serving(**ann):
    """The sections of serving that the model stages read."""
    found = Ann(**{"type": "flat", "topk": 20, "recall_target": 0.99, **ann})
    return {"serving.ann": found, "serving.seen": Leaf(value="auto")}


def run_stages(folder, shop, **ann):
    sections = {**SECTIONS, **serving(**ann)}
    parts = dict(shop)
    for stage in (TWO_TOWER, INDEX, RANKER):
        own = {name: sections[name] for name in stage.sections}
        parts[stage.name] = stage.run(folder, own, {name: parts[name] for name in stage.parents})
    return parts


def run_stage(folder, stage, section, parts):
    """Run one stage; ``section`` is its first config section as JSON."""
    return stage.run(folder, section_of(stage, section), {name: parts[name] for name in stage.parents})


def export_nothing(folder, model, tensors):
    """In the place of the retriever's export, for tests of its training."""
    return 0.0


def section_of(stage, section):
    own, *others = stage.sections
    return {own: type(SECTIONS[own]).model_validate_json(section), **{name: serving()[name] for name in others}}


def rank_again(folder, parts, **options):
    """``parts`` with another ranker, trained with ``options``."""
    config = DlrmConfig.model_validate({**SECTIONS["dlrm_ranker"].model_dump(), **options})
    sections = {"dlrm_ranker": config, **serving()}
    return {**parts, "ranker": RANKER.run(folder, sections, {name: parts[name] for name in RANKER.parents})}


def request(tensors, users=4, candidates=5, similarity=None):
    events = Events.of(tensors.interactions("test")).take(np.arange(users))
    rows = np.arange(users * candidates).reshape(users, candidates) % len(tensors.item_ids)
    features = {**user_columns(tensors, events), **item_columns(tensors, rows)}
    return features | (similarity.columns(events, rows) if similarity else {})
