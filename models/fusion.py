"""The served ranker: DLRM and the retriever's own opinion, weighed on the validation part.

The retriever was trained on the ranker's training events, so there its similarities look better than they are; on the
validation part both are out of sample. A logistic regression of what happened on the two logits there gives the
weights, and calibrates their sum as it does so (stacking: Wolpert, "Stacked generalization", 1992; scaling: Platt,
"Probabilistic outputs for support vector machines", 1999). Where a straight line does not fit, an isotonic curve on top
of it may: see ``calibration``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backend import tf
from .calibration import Curve, Logits, fit_curve
from .config import Calibration
from .dlrm import Dlrm

log = logging.getLogger(__name__)

FEWEST_POSITIVES = 50
"""Fewer positives in the validation part say too little about three numbers."""


@dataclass(frozen=True)
class Fusion:
    """logit = ``curve``(``ranker`` * DLRM's logit + ``retriever`` * cosine + ``bias``)."""

    ranker: float = 1.0
    retriever: float = 0.0
    bias: float = 0.0
    curve: Curve | None = None

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> Fusion:
        """From the ``fusion`` of a ranker's manifest."""
        curve = saved.get("curve")
        return cls(**{**saved, "curve": Curve.of(curve) if curve else None})

    @property
    def calibration(self) -> Calibration:
        """What it came to, whatever was asked for."""
        if self.curve is not None:
            return "isotonic"
        return "none" if self == Fusion() else "platt"

    def __call__(self, logits: Logits, cosine: Logits) -> Logits:
        line = np.asarray(self.ranker * logits + self.retriever * cosine + self.bias, np.float32)
        return line if self.curve is None else self.curve(line)


def fit_fusion(logits: Logits, cosine: Logits, label: NDArray[np.bool_], calibration: Calibration = "platt") -> Fusion:
    """What ``dlrm_ranker.calibration`` asks for, from logits, cosines and label [M] of the validation part.

    It says so in the log where there is too little to fit that.
    """
    if calibration == "none":
        return Fusion()
    line = fit_line(logits, cosine, label)
    if calibration == "isotonic" and min(label.sum(), (~label).sum()) >= FEWEST_POSITIVES:
        line = replace(line, curve=fit_curve(line(logits, cosine), label))
    if line.calibration != calibration:
        positives = f"{label.sum():,} positives among {len(label):,} validation rows"
        log.warning(
            "dlrm_ranker.calibration: %s cannot be fitted to %s, %s it is", calibration, positives, line.calibration
        )
    return line


def fit_line(logits: Logits, cosine: Logits, label: NDArray[np.bool_]) -> Fusion:
    """Logistic regression of label [M] on both [M]; on DLRM's alone where it would turn the retriever upside down.

    Nothing is fitted where there is too little to fit to, or it would turn DLRM upside down.
    """
    from sklearn.linear_model import LogisticRegression

    if label.sum() < FEWEST_POSITIVES or label.all():
        return Fusion()
    for columns in ([logits, cosine], [logits]):
        x = np.stack(columns, axis=1).astype(np.float64)
        scale = x.std(axis=0)
        scale[scale == 0] = 1.0
        found = LogisticRegression(C=1e4).fit(x / scale, label)
        ranker, *retriever = (float(weight) for weight in found.coef_[0] / scale)
        if ranker > 0 and all(weight >= 0 for weight in retriever):
            return Fusion(ranker, retriever[0] if retriever else 0.0, float(found.intercept_[0]))
    return Fusion()


class Ranker(tf.keras.Model):
    """What ``ranker.onnx`` holds: user and context features [B, L], item features [B, K, L] -> logits [B, K].

    Where the retriever has a weight, it also takes ``query`` float32 [B, D] and ``item_vectors`` float32 [B, K, D],
    which the request path has at hand: their product is the retriever's cosine.
    """

    def __init__(self, dlrm: Dlrm, fusion: Fusion) -> None:
        super().__init__()
        self.dlrm, self.fusion = dlrm, fusion

    def call(self, columns: Mapping[str, Any]) -> Any:
        return self._weighed(self.dlrm(columns), columns)

    def pair(self, columns: Mapping[str, Any]) -> Any:
        """The same from the items' parts in the place of their features."""
        return self._weighed(self.dlrm.pair(columns), columns)

    def _weighed(self, logits: Any, columns: Mapping[str, Any]) -> Any:
        logits = self.fusion.ranker * logits + self.fusion.bias
        if self.fusion.retriever:
            logits += self.fusion.retriever * tf.linalg.matvec(columns["item_vectors"], columns["query"])
        return logits if self.fusion.curve is None else bend(logits, self.fusion.curve)


def bend(logits: Any, curve: Curve) -> Any:
    """``curve`` of logits [B, K]: the lengths of its pieces up to there, each times its slope.

    Every term rises with the logit, so the sum does, rounding included. No matrix product, which int8 would round.
    """
    left, first, last = (tf.constant(part, tf.float32) for part in (curve.x[:-1], curve.x[0], curve.x[-1]))
    lengths = tf.minimum(tf.nn.relu(tf.expand_dims(logits, axis=-1) - left), curve.widths)
    outside = tf.minimum(logits - first, 0.0) + tf.nn.relu(logits - last)
    return curve.y[0] + tf.reduce_sum(lengths * curve.slopes, axis=-1) + outside
