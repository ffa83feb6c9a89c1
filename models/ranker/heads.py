"""Multi-task heads: one head for each label, combined into one logit for serving.

The served score is the weighted mean of the heads' probabilities. It is thus the probability that a label which is
drawn with these weights is 1, and calibration and the check of the int8 model can work with that drawn label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..config import LabelConfig

if TYPE_CHECKING:
    from ..training.rows import Events


def shares(labels: Mapping[str, LabelConfig]) -> tuple[float, ...]:
    """The weight of each head in the score: they sum to 1, and a single head has 1."""
    serve = np.array([label.serve for label in labels.values()] or [1.0])
    return tuple((serve / serve.sum()).tolist())


def combine(logits: Sequence[Any], share: Sequence[float]) -> Any:
    """The logit [n, 1] of p = sum of share * sigmoid(logit), from the logits [n, 1] of each head.

    Computed as log(p) - log(1 - p), both as sums of positive numbers on a logarithmic scale: ONNX Runtime's sigmoid is
    never below 1.5e-8. The sums are no matrix products, which the int8 export would quantize as layers.
    """
    from .._merlin import tf

    if len(logits) == 1:
        return logits[0]
    parts = [(logit, float(np.log(part))) for logit, part in zip(logits, share, strict=True) if part > 0]
    yes = _log_sum([log_share - tf.nn.softplus(-logit) for logit, log_share in parts])
    no = _log_sum([log_share - tf.nn.softplus(logit) for logit, log_share in parts])
    return yes - no


def _log_sum(logs: Sequence[Any]) -> Any:
    """The logarithm of the sum of what has the logarithms ``logs``."""
    from .._merlin import tf

    largest = reduce(tf.maximum, logs)
    return largest + tf.math.log(tf.add_n([tf.exp(each - largest) for each in logs]))


def targets(events: Events, labels: Sequence[str]) -> NDArray[np.float32]:
    """The labels float32 [n, T] of events, in the order of ``labels``; ``label`` is the column of that name."""
    found = [events.label if name == "label" else events.labels[name] for name in labels]
    return np.stack(found, axis=1)


def draw_label(happened: NDArray[np.float32], share: Sequence[float], seed: int) -> NDArray[np.float32]:
    """For each row of ``happened`` [n, T] the value of one label, drawn with the weights ``share``: float32 [n]."""
    drawn = np.random.default_rng(seed).choice(len(share), len(happened), p=share)
    return np.asarray(happened[np.arange(len(happened)), drawn])


def label_aucs(logits: NDArray[np.float32], happened: NDArray[np.float32], of: str = "ranker") -> list[float | None]:
    """AUC of each head's logits [n, T] for its label [n, T]; None where the label is always the same.

    Raises:
        DivergedError: if a logit is NaN; ``of`` says what was scored.
    """
    return [metrics.auc(own, label > 0, of) for own, label in zip(logits.T, happened.T, strict=True)]


def mean_auc(aucs: Sequence[float | None], share: Sequence[float]) -> float:
    """Mean of the labels' AUCs, weighted as they are served, over the labels that have an AUC."""
    known = [(auc, part) for auc, part in zip(aucs, share, strict=True) if auc is not None]
    return sum(auc * part for auc, part in known) / sum(part for _, part in known)


def has_both_labels(happened: NDArray[np.float32], share: Sequence[float]) -> bool:
    """Whether at least one of the served labels has both 0 and 1 in ``happened`` [n, T]."""
    return any(part > 0 and 0 < own.sum() < len(own) for own, part in zip(happened.T, share, strict=True))
