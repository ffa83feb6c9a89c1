"""Gradient boosted trees on the ranker's features, the usual first model for logged impressions.

Ke et al., "LightGBM: a highly efficient gradient boosting decision tree", 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .click_features import click_table

if TYPE_CHECKING:
    from ...models.training.rows import Events
    from ...workflows.etl.tensors import Tensors
    from .factorization_machine import Label

ROUNDS, PATIENCE = 1000, 50
THREADS = 2
SEED = 42
PARAMETERS: dict[str, Any] = {
    **{"objective": "binary", "metric": "binary_logloss", "learning_rate": 0.05, "num_leaves": 31},
    **{"min_data_in_leaf": 100, "feature_fraction": 0.6, "bagging_fraction": 0.8, "bagging_freq": 1},
    **{"lambda_l2": 10.0, "cat_smooth": 20.0, "num_threads": THREADS, "seed": SEED, "deterministic": True},
    **{"force_row_wise": True, "verbose": -1},
}


def tree_logits(
    tensors: Tensors, train: tuple[Events, Label], valid: tuple[Events, Label], others: Sequence[Events]
) -> list[NDArray[np.float32]]:
    """Fit on ``train`` with early stopping on the log-loss of ``valid``: logits float32 [n] of each of ``others``."""
    import lightgbm

    (events, label), (valid_events, valid_label) = train, valid
    table = click_table(tensors, [events, valid_events, *others], label, SEED)
    known, watched, *rows = table.matrices()
    named = {"feature_name": table.names, "categorical_feature": table.categorical}
    data = lightgbm.Dataset(known, label, **named)
    watch = [lightgbm.Dataset(watched, valid_label, reference=data)]
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    model = lightgbm.train(PARAMETERS, data, ROUNDS, valid_sets=watch, callbacks=[stop])
    return [np.asarray(model.predict(own, raw_score=True), np.float32) for own in rows]
