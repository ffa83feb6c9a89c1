"""A factorization machine for 0/1 labels of logged impressions (Rendle, "Factorization machines", 2010).

logit = b + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j, with x_i = 1 for a category, 1 / sqrt(n) for each of the n
entries of a list, and the value of a number. It is trained one row at a time with AdaGrad, as libFM and xLearn do.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...models import metrics
from ...models.training.rows import user_columns
from .factorization_kernels import learn_rows, score_rows
from .labelled import Labelled, Predicted, joined, some_users
from .tuning import Tuner

if TYPE_CHECKING:
    from ...models.training.rows import Events
    from ...workflows.etl.tensors import Tensors

log = logging.getLogger(__name__)

NAME = "factorization_machine"
TRIAL_ROWS = 300_000
"""Training rows that settings are tried on. With fewer, more regularization is best than with all rows."""
ROWS = 65536
"""Rows that are gathered at once, which bounds the memory."""
MOST_EPOCHS, PATIENCE = 15, 2
INITIAL = 0.01
"""Standard deviation of the factors in the beginning."""
SEED = 42

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FactorizationSetting:
    """What is tuned."""

    width: int = 16
    """Factors of a code."""
    l2: float = 0.01
    """Weight of the squared weights of a row's codes."""
    rate: float = 0.1
    """Learning rate of AdaGrad."""


GRID = {"l2": (0.03, 0.1, 0.003), "rate": (0.03,), "width": (32, 8)}


@dataclass(frozen=True)
class Encoder:
    """Rows as pairs of a code and a value: each feature has codes of its own."""

    tensors: Tensors

    @property
    def size(self) -> int:
        """C, the number of codes."""
        return sum(feature.cardinality or feature.dims[0] for feature in self.tensors.schema)

    def rows(self, events: Events) -> tuple[NDArray[np.int32], Floats]:
        """Codes int32 [n, S] and values float32 [n, S]."""
        items = {name: np.asarray(table)[events.item_row] for name, table in self.tensors.items.items()}
        columns = {**user_columns(self.tensors, events), **items}
        codes, values, first = [], [], 0
        for feature in self.tensors.schema:
            column = columns[feature.name]
            if feature.kind == "categorical":
                filled = column > 0
                codes.append(first + column)
                values.append(filled / np.sqrt(np.maximum(filled.sum(axis=1, keepdims=True), 1)))
            else:
                codes.append(np.broadcast_to(first + np.arange(column.shape[1]), column.shape))
                values.append(column)
            first += feature.cardinality or feature.dims[0]
        return np.concatenate(codes, axis=1).astype(np.int32), np.concatenate(values, axis=1).astype(np.float32)


class FactorizationMachine:
    """The weights, and what AdaGrad knows of their gradients."""

    def __init__(self, encoder: Encoder, setting: FactorizationSetting, seed: int = SEED) -> None:
        self.encoder, self.setting, self.rng = encoder, setting, np.random.default_rng(seed)
        shape = encoder.size, setting.width
        self.linear, self.factors = (
            np.zeros(shape[0], np.float32),
            INITIAL * self.rng.standard_normal(shape, np.float32),
        )
        self.squares = np.ones(shape[0], np.float32), np.ones(shape, np.float32)
        self.bias = np.array([0, 1], np.float32)

    def copy(self) -> FactorizationMachine:
        """The same with weights of its own, to score with."""
        other = copy(self)
        other.linear, other.factors, other.bias = self.linear.copy(), self.factors.copy(), self.bias.copy()
        return other

    def epoch(self, train: Labelled) -> None:
        """Learn from every row once, in random order."""
        order = self.rng.permutation(len(train))
        rest = np.float32(self.setting.rate), np.float32(self.setting.l2)
        for start in range(0, len(order), ROWS):
            at = order[start : start + ROWS]
            rows = self.encoder.rows(train.events.take(at))
            learn_rows(*rows, train.label[at], self.linear, self.factors, *self.squares, self.bias, *rest)

    def logits(self, events: Events) -> Floats:
        """Logits [n]."""
        found = np.empty(len(events), np.float32)
        for start in range(0, len(found), ROWS):
            some = found[start : start + ROWS]
            rows = self.encoder.rows(events.take(np.arange(start, start + len(some))))
            score_rows(*rows, self.linear, self.factors, np.float32(self.bias[0]), some)
        return found


@dataclass(frozen=True)
class Fitted:
    """A model after its best epoch."""

    model: FactorizationMachine
    epochs: int
    logits: Floats
    """Of the validation part."""
    auc: float


def fit(encoder: Encoder, setting: FactorizationSetting, train: Labelled, valid: Labelled) -> Fitted:
    """Train with early stopping on the AUC of ``valid``."""
    model, best = FactorizationMachine(encoder, setting), None
    for epoch in range(1, MOST_EPOCHS + 1):
        model.epoch(train)
        logits = model.logits(valid.events)
        auc = metrics.auc(logits, valid.label > 0, f"{NAME}, epoch {epoch}")
        assert auc is not None, "`impressions.unfit` checks that both labels occur"
        if best is None or auc > best.auc:
            best = Fitted(model.copy(), epoch, logits, auc)
        elif epoch - best.epochs >= PATIENCE:
            break
    assert best is not None
    return best


def factorization_logits(
    tensors: Tensors, train: Labelled, valid: Labelled, others: Sequence[Events], tuner: Tuner, inputs: str
) -> Predicted:
    """Tune and fit it; see `Predicted`."""
    encoder, some = Encoder(tensors), some_users(train, valid, len(tensors.user_ids), TRIAL_ROWS)
    choice = tuner.choose(
        NAME, FactorizationSetting(), GRID, lambda setting: np.array([fit(encoder, setting, *some).auc]), inputs
    )
    best = fit(encoder, choice.setting, train, valid)
    log.info(
        "baseline %s: validation AUC %.4f after %d epochs, now with the validation part", NAME, best.auc, best.epochs
    )
    final, rows = FactorizationMachine(encoder, choice.setting), joined([train, valid])
    for _ in range(best.epochs):
        final.epoch(rows)
    return Predicted(best.logits, [final.logits(events) for events in others], choice)
