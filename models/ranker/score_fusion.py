"""The served ranker: DLRM and the retriever's own opinion, weighed on the validation part.

The retriever was trained on the ranker's training events, so there its similarities look better than they are; on the
validation part both are out of sample. What was chosen there gives the weights (stacking: Wolpert, "Stacked
generalization", 1992), and a logistic regression of what happened on their sum calibrates it (Platt, "Probabilistic
outputs for support vector machines", 1999). Where a straight line does not fit, an isotonic curve on top of it may: see
``calibration``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._merlin import tf
from ..config import Calibration
from .calibration import Curve, Logits, fit_curve
from .dlrm import Dlrm

log = logging.getLogger(__name__)

FEWEST_POSITIVES = 50
"""Fewer positives in the validation part say too little about three numbers."""
RIDGE = 1e-4
"""Keeps weights finite where the validation part is told apart without a mistake."""


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
    """What ``dlrm_ranker.calibration`` asks for, from the validation part.

    It says so in the log where there is too little to fit that.

    Args:
        logits: [n, K], the candidates of n requests; -inf where there is none.
        cosine, label: [n, K].
    """
    if calibration == "none":
        return Fusion()
    line, there = fit_line(logits, cosine, label), np.isfinite(logits)
    logits, cosine, label = logits[there], cosine[there], label[there]
    if calibration == "isotonic" and min(label.sum(), (~label).sum()) >= FEWEST_POSITIVES:
        line = replace(line, curve=fit_curve(line(logits, cosine), label))
    if line.calibration != calibration:
        positives = f"{label.sum():,} positives among {len(label):,} validation rows"
        log.warning(
            "dlrm_ranker.calibration: %s cannot be fitted to %s, %s it is", calibration, positives, line.calibration
        )
    return line


def fit_line(logits: Logits, cosine: Logits, label: NDArray[np.bool_]) -> Fusion:
    """Weights and a bias from [n, K], where a logit of -inf is no candidate.

    DLRM's logit is taken alone where its weight or the retriever's would not be above 0, and nothing is fitted where
    that does not help, or there is too little to fit to.
    """
    there = np.isfinite(logits)
    if label.sum() < FEWEST_POSITIVES or label[there].all():
        return Fusion()
    both, happened = np.stack([logits, cosine], axis=-1), label[there]
    weights = choice(both, label) if logits.shape[1] > 1 else regression(both[there], happened)[0]
    if weights[0] <= 0 or weights[1] < 0:
        weights = np.array([1.0, 0.0])
    (scale,), bias = regression(both[there] @ weights[:, None], happened)
    return Fusion(float(scale * weights[0]), float(scale * weights[1]), bias) if scale > 0 else Fusion()


def regression(x: NDArray[Any], label: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """Logistic regression of label [M] on x [M, C]: weights [C] and bias."""
    from sklearn.linear_model import LogisticRegression

    scale = spread(x)
    found = LogisticRegression(C=1 / RIDGE).fit(x / scale, label)
    return found.coef_[0] / scale, float(found.intercept_[0])


def choice(x: NDArray[np.float32], label: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights [C] that tell best which candidate of a request it was, from x [n, K, C] and label [n, K].

    The conditional logit (McFadden, "Conditional logit analysis of qualitative choice behavior", 1974). A regression on
    all rows at once would also tell apart requests, some of which are easier than others; that orders no candidates.
    """
    from scipy.optimize import minimize
    from scipy.special import softmax

    asked, there = label.any(axis=1), np.isfinite(x).all(axis=-1)
    there, label = there[asked], label[asked]
    known: NDArray[np.float64] = np.where(there[..., None], x[asked], 0).astype(np.float64)
    scale = spread(known[there])
    known /= scale

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        chance = softmax(np.where(there, known @ weights, -np.inf), axis=1)
        slope = np.einsum("nk,nkc->c", chance - label, known) + 2 * RIDGE * weights
        return float(-np.log(chance[label]).sum() + RIDGE * weights @ weights), slope

    found: NDArray[np.float64] = minimize(loss, np.ones(known.shape[-1]), jac=True, method="L-BFGS-B").x
    return found / scale


def spread(x: NDArray[Any]) -> NDArray[np.float64]:
    """Standard deviation [C] of x [M, C], 1 where that is 0."""
    found = x.std(axis=0, dtype=np.float64)
    return np.where(found > 0, found, 1.0)


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
