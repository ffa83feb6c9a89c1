"""The ranker alone: does it separate, and can its probabilities be believed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ...models import metrics
from ..ops.order import sigmoid
from .ranking_lists import Rows


def labelled(candidates: Rows, logits: NDArray[np.float32], relevant: csr_matrix) -> tuple[Any, Any]:
    """Every candidate with its label: logits float32 [M] and labels bool [M], padding left out."""
    hits, _ = metrics.find_hits(candidates, relevant)
    there = candidates >= 0
    return logits[there], hits[there]


def ranking_metrics(logits: NDArray[np.float32], label: NDArray[np.bool_]) -> dict[str, float | None]:
    """AUC, log-loss (nats) and ECE over all rows [M]; AUC is None where there are only positives or only negatives."""
    from sklearn.metrics import log_loss, roc_auc_score

    chance = sigmoid(logits.astype(np.float64))
    both = 0 < label.sum() < len(label)
    return {
        "auc": float(roc_auc_score(label, chance)) if both else None,
        "logloss": float(log_loss(label, chance, labels=[False, True])),
        "ece": metrics.ece(chance, label),
    }
