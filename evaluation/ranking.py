"""The ranker alone: does it separate, and can its probabilities be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ..ensemble.graph.ops.order import sigmoid
from ..models import metrics
from .ranking_lists import Rows


@dataclass(frozen=True)
class RankedRows:
    """What the ranker's metrics are computed from: M pairs of a user and an item, each with a logit.

    ``logits``: float32 [M]. ``label``: bool [M]. ``users``, ``items``: int32 or int64 [M] rows. ``events``: the same,
    the test interaction in whose context the pair was scored.
    """

    logits: NDArray[np.float32]
    label: NDArray[np.bool_]
    users: NDArray[np.integer[Any]]
    items: NDArray[np.integer[Any]]
    events: NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.logits)


def labelled(candidates: Rows, logits: NDArray[np.float32], relevant: csr_matrix) -> tuple[NDArray[Any], ...]:
    """Every candidate, padding left out: logits float32 [M], labels bool [M], requests int64 [M], items int32 [M]."""
    hits, _ = metrics.find_hits(candidates, relevant)
    requests, places = np.nonzero(candidates >= 0)
    at = requests, places
    return logits[at], hits[at], requests, candidates[at].astype(np.int32)


def ranking_metrics(rows: RankedRows, of: str = "ranker") -> dict[str, float | None]:
    """AUC, gAUC over users, log-loss (nats) and ECE; an AUC is None without positives or without negatives."""
    from sklearn.metrics import log_loss

    label, chance = rows.label, sigmoid(rows.logits.astype(np.float64))
    owner = np.unique(rows.users, return_inverse=True)[1]
    count = np.bincount(owner)
    return {
        "auc": metrics.auc(chance, label, of),
        "gauc": metrics.gauc(metrics.grouped_auc(rows.logits, label, owner, len(count), of), count),
        "logloss": float(log_loss(label, chance, labels=[False, True])),
        "ece": metrics.ece(chance, label, of=of),
    }
