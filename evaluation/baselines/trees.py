"""Gradient boosted trees on the ranker's features, the usual first model for logged impressions.

Ke et al., "LightGBM: a highly efficient gradient boosting decision tree", 2017.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...models import metrics
from .click_features import click_table
from .labelled import Labelled, Predicted, joined, some_users
from .tuning import Score, Tuner

if TYPE_CHECKING:
    from ...models.training.rows import Events
    from ...workflows.etl.tensors import Tensors

log = logging.getLogger(__name__)

NAME = "lightgbm"
ROUNDS, PATIENCE = 1000, 50
TRIAL_ROWS = 100_000
"""Training rows that settings are tried on."""
FEW_ROWS = 50_000
"""Fewer rows are fitted by one thread; more would mostly wait for each other."""
SEED = 42
PARAMETERS: dict[str, Any] = {
    **{"objective": "binary", "metric": "binary_logloss", "min_data_in_leaf": 100},
    **{"feature_fraction": 0.6, "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 10.0, "cat_smooth": 20.0},
    **{"seed": SEED, "deterministic": True, "force_row_wise": True, "verbose": -1},
}


@dataclass(frozen=True)
class TreesSetting:
    """What is tuned."""

    leaves: int = 31
    rate: float = 0.05
    """Learning rate."""


GRID = {"leaves": (15, 63, 127), "rate": (0.1, 0.025)}


@dataclass(frozen=True)
class TreeTable:
    """The features of several sets of rows; the first is what trees are fitted on."""

    named: dict[str, Any]
    """Names and numbers of columns, for LightGBM."""
    parts: list[NDArray[np.float32]]
    """[n, columns] each."""
    label: NDArray[np.float32]
    """Of the first set."""

    @classmethod
    def of(cls, tensors: Tensors, train: Labelled, others: Sequence[Events]) -> TreeTable:
        made = click_table(tensors, [train.events, *others], train.label, SEED)
        named = {"feature_name": made.names, "categorical_feature": made.categorical}
        return cls(named, made.matrices(), train.label)

    def fit(self, setting: TreesSetting, rounds: int = ROUNDS, stop: NDArray[np.float32] | None = None) -> Any:
        """Fit trees; with labels ``stop`` of the second set, stop early on it."""
        import lightgbm

        threads = 1 if len(self.label) < FEW_ROWS else 0  # 0: OMP_NUM_THREADS, or all cores
        parameters = PARAMETERS | {"num_leaves": setting.leaves, "learning_rate": setting.rate, "num_threads": threads}
        data = lightgbm.Dataset(self.parts[0], self.label, **self.named)
        if stop is None:
            return lightgbm.train(parameters, data, rounds)
        watch = lightgbm.Dataset(self.parts[1], stop, reference=data)
        early = lightgbm.early_stopping(PATIENCE, verbose=False)
        return lightgbm.train(parameters, data, rounds, valid_sets=[watch], callbacks=[early])

    def logits(self, model: Any) -> list[NDArray[np.float32]]:
        """Logits of all sets but the first."""
        return [np.asarray(model.predict(rows, raw_score=True), np.float32) for rows in self.parts[1:]]


def tree_logits(
    tensors: Tensors, train: Labelled, valid: Labelled, others: Sequence[Events], tuner: Tuner, inputs: str
) -> Predicted:
    """Tune and fit them; see `Predicted`."""
    scorer = _scorer(tensors, *some_users(train, valid, len(tensors.user_ids), TRIAL_ROWS))
    choice = tuner.choose(NAME, TreesSetting(), GRID, scorer, inputs)
    table = TreeTable.of(tensors, train, [valid.events])
    model = table.fit(choice.setting, stop=valid.label)
    (of_valid,), rounds = table.logits(model), model.best_iteration
    log.info("baseline %s: %d rounds, now with the validation part", NAME, rounds)
    table = TreeTable.of(tensors, joined([train, valid]), others)
    return Predicted(of_valid, table.logits(table.fit(choice.setting, rounds)), choice)


def _scorer(tensors: Tensors, train: Labelled, valid: Labelled) -> Score[TreesSetting]:
    """The AUC of a setting on ``valid``."""
    table = cache(lambda: TreeTable.of(tensors, train, [valid.events]))

    def score(setting: TreesSetting) -> NDArray[np.float64]:
        (logits,) = table().logits(table().fit(setting, stop=valid.label))
        return np.array([metrics.auc(logits, valid.label > 0, NAME)], np.float64)

    return score
