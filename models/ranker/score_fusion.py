"""Score fusion: the served score combines the DLRM's logit with the retriever's cosine, and is calibrated.

The retriever was trained on the ranker's training events, so its cosines look better there than they are. On the
validation part both models are out of sample, so the weights are fitted there (stacking: Wolpert, "Stacked
generalization", 1992). A logistic regression of the label on the weighted sum calibrates it (Platt, "Probabilistic
outputs for support vector machines", 1999), optionally followed by an isotonic curve, see ``calibration``.
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

MIN_POSITIVES = 50
"""Positives in the validation part that are needed to fit the three parameters."""
RIDGE = 1e-4
"""L2 regularization, which keeps the weights finite if the labels of the validation part are separable."""


@dataclass(frozen=True)
class Fusion:
    """logit = ``curve``(``ranker`` * DLRM's logit + ``retriever`` * cosine + ``bias``)."""

    ranker: float = 1.0
    retriever: float = 0.0
    bias: float = 0.0
    curve: Curve | None = None

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> Fusion:
        """From ``fusion`` in the manifest of a ranker artifact."""
        curve = saved.get("curve")
        return cls(**{**saved, "curve": Curve.of(curve) if curve else None})

    @property
    def calibration(self) -> Calibration:
        """The calibration that was fitted, which may be less than the configured one."""
        if self.curve is not None:
            return "isotonic"
        return "none" if self == Fusion() else "platt"

    def __call__(self, logits: Logits, cosine: Logits) -> Logits:
        line = np.asarray(self.ranker * logits + self.retriever * cosine + self.bias, np.float32)
        return line if self.curve is None else self.curve(line)


def fit_fusion(logits: Logits, cosine: Logits, label: NDArray[np.bool_], calibration: Calibration = "platt") -> Fusion:
    """Fit the fusion, with the configured calibration, on the validation part.

    If there are too few positives for that calibration, a simpler one is fitted: see `calibration_notices`.

    Args:
        logits: float32 [n, K], the candidates of n requests; -inf where there is none.
        cosine: float32 [n, K].
        label: bool [n, K].
        calibration: ``dlrm_ranker.calibration``.
    """
    if calibration == "none":
        return Fusion()
    line, there = fit_line(logits, cosine, label), np.isfinite(logits)
    logits, cosine, label = logits[there], cosine[there], label[there]
    if calibration == "isotonic" and min(label.sum(), (~label).sum()) >= MIN_POSITIVES:
        line = replace(line, curve=fit_curve(line(logits, cosine), label))
    return line


def calibration_notices(
    fusion: Fusion, calibration: Calibration, logits: Logits | None = None, label: NDArray[np.bool_] | None = None
) -> list[str]:
    """A notice, logged as well, if ``fusion`` has another calibration than the configured one.

    Args:
        logits, label: what the fusion was fitted on, see `fit_fusion`; None without a validation part.
    """
    if fusion.calibration == calibration:
        return []
    if logits is None or label is None:
        why = "needs a validation part"
    else:
        there = np.isfinite(logits)
        why = f"cannot be fitted to {label[there].sum():,} positives among {there.sum():,} validation rows"
    notice = f"dlrm_ranker.calibration: {calibration} {why}, so it is {fusion.calibration}"
    log.warning(notice)
    return [notice]


def fit_line(logits: Logits, cosine: Logits, label: NDArray[np.bool_]) -> Fusion:
    """Fit weights and bias on logits, cosines and labels [n, K]; a logit of -inf is no candidate.

    If the weight of the DLRM is not positive, or the retriever's is negative, only the DLRM's logit is used. The result
    is the default `Fusion`, which changes nothing, if its scale is not positive either or if there are too few labels.
    """
    there = np.isfinite(logits)
    if label.sum() < MIN_POSITIVES or label[there].all():
        return Fusion()
    both, happened = np.stack([logits, cosine], axis=-1), label[there]
    weights = conditional_logit(both, label) if logits.shape[1] > 1 else logistic_regression(both[there], happened)[0]
    if weights[0] <= 0 or weights[1] < 0:
        weights = np.array([1.0, 0.0])
    (scale,), bias = logistic_regression(both[there] @ weights[:, None], happened)
    return Fusion(float(scale * weights[0]), float(scale * weights[1]), bias) if scale > 0 else Fusion()


def logistic_regression(x: NDArray[Any], label: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """Logistic regression of label [M] on x [M, C]; returns the weights float64 [C] and the bias."""
    from sklearn.linear_model import LogisticRegression

    scale = standard_deviation(x)
    found = LogisticRegression(C=1 / RIDGE).fit(x / scale, label)
    return found.coef_[0] / scale, float(found.intercept_[0])


def conditional_logit(x: NDArray[np.float32], label: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights float64 [C] of a conditional logit: which candidate of a request is the positive?

    McFadden, "Conditional logit analysis of qualitative choice behavior", 1974. A logistic regression on all rows would
    also explain differences between requests, some of which are easier than others; those do not order candidates.

    Args:
        x: float32 [n, K, C], -inf where there is no candidate.
        label: bool [n, K]; requests without a positive are left out.
    """
    from scipy.optimize import minimize
    from scipy.special import softmax

    asked, there = label.any(axis=1), np.isfinite(x).all(axis=-1)
    there, label = there[asked], label[asked]
    known: NDArray[np.float64] = np.where(there[..., None], x[asked], 0).astype(np.float64)
    scale = standard_deviation(known[there])
    known /= scale

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        chance = softmax(np.where(there, known @ weights, -np.inf), axis=1)
        slope = np.einsum("nk,nkc->c", chance - label, known) + 2 * RIDGE * weights
        return float(-np.log(chance[label]).sum() + RIDGE * weights @ weights), slope

    found: NDArray[np.float64] = minimize(loss, np.ones(known.shape[-1]), jac=True, method="L-BFGS-B").x
    return found / scale


def standard_deviation(x: NDArray[Any]) -> NDArray[np.float64]:
    """Standard deviation float64 [C] of x [M, C], 1 where it is 0."""
    found = x.std(axis=0, dtype=np.float64)
    return np.where(found > 0, found, 1.0)


class Ranker(tf.keras.Model):
    """The served model: user and context features [B, L] and item features [B, K, L] -> logits float32 [B, K].

    If the retriever has a weight, the inputs also hold ``query`` float32 [B, D] and ``item_vectors`` float32 [B, K, D],
    which the request path has anyway: their inner product is the retriever's cosine.
    """

    def __init__(self, dlrm: Dlrm, fusion: Fusion) -> None:
        super().__init__()
        self.dlrm, self.fusion = dlrm, fusion

    def call(self, columns: Mapping[str, Any]) -> Any:
        return self._weighed(self.dlrm(columns), columns)

    def pair(self, columns: Mapping[str, Any]) -> Any:
        """The same from item parts instead of item features, see ``item_part``."""
        return self._weighed(self.dlrm.pair(columns), columns)

    def _weighed(self, logits: Any, columns: Mapping[str, Any]) -> Any:
        logits = self.fusion.ranker * logits + self.fusion.bias
        if self.fusion.retriever:
            logits += self.fusion.retriever * tf.linalg.matvec(columns["item_vectors"], columns["query"])
        return logits if self.fusion.curve is None else apply_curve(logits, self.fusion.curve)


def apply_curve(logits: Any, curve: Curve) -> Any:
    """``curve`` of logits [B, K], as the sum over its pieces of the length up to the logit times the slope.

    Every term rises with the logit, so the sum does too, even after rounding. There is no matrix product, which the
    int8 export would quantize.
    """
    left, first, last = (tf.constant(part, tf.float32) for part in (curve.x[:-1], curve.x[0], curve.x[-1]))
    lengths = tf.minimum(tf.nn.relu(tf.expand_dims(logits, axis=-1) - left), curve.widths)
    outside = tf.minimum(logits - first, 0.0) + tf.nn.relu(logits - last)
    return curve.y[0] + tf.reduce_sum(lengths * curve.slopes, axis=-1) + outside
