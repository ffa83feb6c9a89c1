"""Several labels at once: a head for each, and one logit of them all at serving.

The score that is served is the weighted mean of the heads' probabilities. So it is itself the probability that a label
drawn by these weights is 1, and what works on one label (calibration, int8's judgement) works on that draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..config import LabelConfig

if TYPE_CHECKING:
    from ..training.rows import Events

LEAST = 1e-30
"""Least probability whose logarithm is taken."""


def shares(labels: Mapping[str, LabelConfig]) -> tuple[float, ...]:
    """Each head's share of the score; 1 where there is but one head."""
    serve = np.array([label.serve for label in labels.values()] or [1.0])
    return tuple((serve / serve.sum()).tolist())


def combine(logits: Sequence[Any], share: Sequence[float]) -> Any:
    """Logits [n, 1] of each head -> the logit [n, 1] of p = sum of share * sigmoid(logit).

    It is log(p) - log(1 - p), both sums of positive numbers; as products of matrices, int8 would take them for layers.
    """
    from .._merlin import tf

    if len(logits) == 1:
        return logits[0]
    parts = list(zip(logits, share, strict=True))
    yes = tf.add_n([part * tf.sigmoid(logit) for logit, part in parts])
    no = tf.add_n([part * tf.sigmoid(-logit) for logit, part in parts])
    return tf.math.log(tf.maximum(yes, LEAST)) - tf.math.log(tf.maximum(no, LEAST))


def targets(events: Events, labels: Sequence[str]) -> NDArray[np.float32]:
    """What happened [n, T], in the order of ``labels``; ``label`` is the events' own."""
    found = [events.label if name == "label" else events.labels[name] for name in labels]
    return np.stack(found, axis=1)


def draw_label(happened: NDArray[np.float32], share: Sequence[float], seed: int) -> NDArray[np.float32]:
    """One label of each row of ``happened`` [n, T], drawn by ``share`` with ``seed``: [n]."""
    drawn = np.random.default_rng(seed).choice(len(share), len(happened), p=share)
    return np.asarray(happened[np.arange(len(happened)), drawn])


def label_aucs(logits: NDArray[np.float32], happened: NDArray[np.float32], of: str = "ranker") -> list[float | None]:
    """AUC of each head's logits [n, T] for its label [n, T]; None where the label is always the same.

    Raises:
        DivergedError: if a logit is NaN; ``of`` says what was scored.
    """
    return [metrics.auc(own, label > 0, of) for own, label in zip(logits.T, happened.T, strict=True)]


def mean_auc(aucs: Sequence[float | None], share: Sequence[float]) -> float:
    """Mean of the labels' AUCs as they are served, those left out that have none."""
    known = [(auc, part) for auc, part in zip(aucs, share, strict=True) if auc is not None]
    return sum(auc * part for auc, part in known) / sum(part for _, part in known)


def can_judge(happened: NDArray[np.float32], share: Sequence[float]) -> bool:
    """Whether one of the labels that are served is both 0 and 1 in ``happened`` [n, T]."""
    return any(part > 0 and 0 < own.sum() < len(own) for own, part in zip(happened.T, share, strict=True))
