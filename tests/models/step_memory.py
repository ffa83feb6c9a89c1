"""Take a training step; print its memory estimate, its peak (bytes) and its loss.

Arguments: ``two_tower`` or ``dlrm_ranker``, and ``recompute`` or ``keep`` for ``training.recompute``.
"""

import json
import sys
from pathlib import Path

import numpy as np
from peak_memory import Peak

from cascade.core.features import Feature, FeatureSchema
from cascade.models._merlin import tf
from cascade.models.config import DlrmConfig, TwoTowerConfig
from cascade.models.layers.feature_gather import Lookup
from cascade.models.ranker import dlrm
from cascade.models.ranker import training as ranker_training
from cascade.models.retriever import training as two_tower_training
from cascade.models.retriever import two_tower
from cascade.models.retriever.negatives import Catalogue
from cascade.models.retriever.objective import Objective
from cascade.models.training.loop import prepare
from cascade.models.training.memory_estimate import estimate
from cascade.workflows.etl.tensors import Tensors

USERS, ITEMS = 100, 2000
SIZES = {"two_tower": (192, 160), "dlrm_ranker": (8192, 40)}
"""Model -> rows of a batch, items of a history."""


def shop(length):
    history = Feature("history", "user", "categorical", ITEMS + 3, length, "item_id")
    user, item = (
        Feature("user_id", "user", "categorical", USERS + 3),
        Feature("item_id", "item", "categorical", ITEMS + 3),
    )
    users, items = np.arange(USERS, dtype="i4"), np.arange(ITEMS, dtype="i4")
    columns = {"user_id": users[:, None] + 3}, {"item_id": items[:, None] + 3}
    counts = np.ones(ITEMS, np.int64)
    return Tensors(Path(), FeatureSchema((user, history, item)), *columns, users, items, counts)


def retriever(tensors, training):
    tower = {"default_dim": 32, "mlp": [32]}
    reading = {"kind": "transformer", "layers": 2, "heads": 4, "hidden": 64, "targets": 1}
    section = {"user_tower": {**tower, "history": reading}, "item_tower": tower, "training": training}
    config = TwoTowerConfig.model_validate(section)
    model = two_tower.build(tensors.schema, config)
    objective = Objective(config, tensors.item_counts, Catalogue(tensors.item_counts, 0.0), training["batch_size"], 8)
    return config, model, two_tower_training.make_step(model, Lookup(tensors), config, objective)


def ranker(tensors, training):
    section = {"default_dim": 64, "history": {"kind": "target_attention"}, "training": training}
    config = DlrmConfig.model_validate(section)
    model = dlrm.build(tensors.schema, config, tensors.items)
    return config, model, ranker_training.make_step(model, Lookup(tensors), config)


def batch(name, rows, length):
    rng = np.random.default_rng(0)
    history = rng.integers(3, ITEMS + 3, (rows, length), "i4")
    users, items = rng.integers(0, USERS, rows, "i4"), rng.integers(0, ITEMS, rows, "i4")
    if name == "two_tower":
        return {"user_row": users, "history": history, "item_row": items}
    one = np.ones((rows, 1), "f4")
    drawn = {"items": items[:, None], "label": rng.integers(0, 2, (rows, 1)).astype("f4")}
    return {"user_row": users, "history": history, **drawn, "log_rate": 0 * one, "weight": one}


def measure(name, recompute):
    rows, length = SIZES[name]
    prepare(0)
    build = {"two_tower": retriever, "dlrm_ranker": ranker}[name]
    config, model, step = build(shop(length), {"batch_size": rows, "recompute": recompute})
    expected = estimate(model, config.training).total
    with Peak() as peak:
        loss = float(step(batch(name, rows, length)))
    return {"estimate": expected, "taken": peak.grown, "loss": loss}


if __name__ == "__main__":
    tf.constant(1.0) + 1  # allocates TensorFlow's own buffers
    print(json.dumps(measure(sys.argv[1], sys.argv[2] == "recompute")))
