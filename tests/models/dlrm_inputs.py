"""A schema, random batches and a small config for tests of the ranker."""

import numpy as np

from cascade.core.features import Feature, FeatureSchema
from cascade.models.config import DlrmConfig

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


def columns(schema, batch, candidates, seed=0):
    rng = np.random.default_rng(seed)
    made = {}
    for f in schema:
        shape = (batch, candidates, *f.dims) if f.side == "item" else (batch, *f.dims)
        made[f.name] = rng.integers(0, f.cardinality, shape) if f.kind == "categorical" else rng.normal(size=shape)
        made[f.name] = made[f.name].astype(f.dtype)
    return made


def small(**options):
    made = {"default_dim": 4, "bottom_mlp": [8, 6], "top_mlp": [7, 3, 1], **options}
    return DlrmConfig.model_validate(made)
