"""Metrics of the ranker by itself: how well it separates positives from negatives, and its calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ..ensemble.graph.ops.order import sigmoid
from ..models import metrics
from .ranking_lists import Rows

LOWER = ("logloss", "ece")
"""Metrics for which lower is better."""


@dataclass(frozen=True)
class RankedRows:
    """M scored pairs of a user and an item, from which the ranker's metrics are computed.

    ``logits``: float32 [M]. ``label``: bool [M]. ``users``, ``items``: int32 or int64 [M], their rows. ``events``: of
    the same type, the test interactions in whose contexts the pairs were scored.
    """

    logits: NDArray[np.float32]
    label: NDArray[np.bool_]
    users: NDArray[np.integer[Any]]
    items: NDArray[np.integer[Any]]
    events: NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.logits)


def labelled(candidates: Rows, logits: NDArray[np.float32], relevant: csr_matrix) -> tuple[NDArray[Any], ...]:
    """All candidates without padding: logits float32 [M], labels bool [M], requests int64 [M], item rows int32 [M].

    Args:
        candidates: [B, K], padded with -1.
        logits: [B, K].
        relevant: bool [B, n_items].
    """
    hits, _ = metrics.find_hits(candidates, relevant)
    requests, places = np.nonzero(candidates >= 0)
    at = requests, places
    return logits[at], hits[at], requests, candidates[at].astype(np.int32)


def ranking_metrics(rows: RankedRows, of: str = "ranker") -> dict[str, float | None]:
    """AUC, gAUC over users, log-loss (nats) and ECE. An AUC is None if all labels are equal.

    Args:
        of: names the scores in errors.
    """
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
