"""Score fusion: the served score combines the DLRM's logit with the retriever's cosine, and is calibrated.

The retriever was trained on the ranker's training events, so its cosines look better there than they are. On the
validation part both models are out of sample, so the weights are fitted there (stacking: Wolpert, "Stacked
generalization", 1992). A logistic regression of the label on the weighted sum calibrates it (Platt, "Probabilistic
outputs for support vector machines", 1999), optionally followed by an isotonic curve, see ``calibration``. Whether
both scores are served, or one of them, is decided in ``served_order``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._merlin import tf
from ..config import Calibration, Order
from ..retriever.item_to_item.neighbour_weights import NEIGHBOUR_SCORES
from .calibration import Curve, Logits, fit_curve
from .dlrm import Dlrm

log = logging.getLogger(__name__)

MIN_POSITIVES = 50
"""Positives in the validation part that are needed to fit the three parameters."""
RIDGE, FEW_RIDGE = 1e-4, 1.0
"""L2 regularization, which keeps the weights finite if the labels of the validation part are separable; the second is
for less than `MIN_POSITIVES`."""
MOST_WEIGHT = 3.0
"""Largest weight of the DLRM's logit among candidates. A model that has learned the labels needs about 1; a model that
has learned nothing has nearly equal logits, whose noise a large weight would turn into an order."""
Weights = tuple[float, float]
"""Of the DLRM's logit and of the retriever's cosine."""


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
        return "platt" if self.bias else "none"

    @property
    def order(self) -> Order:
        """Whose scores order the list."""
        return "retriever" if not self.ranker else "fused" if self.retriever else "dlrm"

    def __call__(self, logits: Logits, cosine: Logits) -> Logits:
        line = np.asarray(self.ranker * logits + self.retriever * cosine + self.bias, np.float32)
        return line if self.curve is None else self.curve(line)


def fit_fusion(
    logits: Logits,
    cosine: Logits,
    label: NDArray[np.bool_],
    calibration: Calibration = "platt",
    weights: Weights | None = None,
) -> Fusion:
    """Fit the fusion, with the configured calibration, on the validation part.

    If there are too few positives for that calibration, a simpler one is fitted: see `calibration_notices`.

    Args:
        logits: float32 [n, K], the candidates of n requests; -inf where there is none.
        cosine: float32 [n, K].
        label: bool [n, K].
        calibration: ``dlrm_ranker.calibration``.
        weights: of both scores; None fits them, see `fit_weights`. Only their ratio counts.
    """
    weights = weights or fit_weights(logits, cosine, label)
    if calibration == "none":
        return alone(weights)
    line, there = fit_line(logits, cosine, label, weights), np.isfinite(logits)
    logits, cosine, label = logits[there], cosine[there], label[there]
    if calibration == "isotonic" and min(label.sum(), (~label).sum()) >= MIN_POSITIVES:
        line = replace(line, curve=fit_curve(line(logits, cosine), label))
    return line


def alone(weights: Weights) -> Fusion:
    """The DLRM's score as it is; the retriever's if the DLRM has no weight."""
    return Fusion() if weights[0] else Fusion(0.0, 1.0)


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
        happened = label[there]
        why = f"cannot be fitted to {happened.sum():,} positives among {there.sum():,} validation rows"
        if calibration == "platt" and happened.sum() >= MIN_POSITIVES and not happened.all():
            why += ", because the served score is lower for them than for the others"
    notice = f"dlrm_ranker.calibration: {calibration} {why}, so it is {fusion.calibration}"
    log.warning(notice)
    return [notice]


def fit_line(logits: Logits, cosine: Logits, label: NDArray[np.bool_], weights: Weights) -> Fusion:
    """Scale ``weights``, and fit the bias, on logits, cosines and labels [n, K]; a logit of -inf is no candidate.

    With less than `MIN_POSITIVES` the DLRM is served as it is, because its logit is that of a probability already, and
    the line of the retriever is held back towards the mean. If the scale comes out negative, it is 1 and the bias 0.
    """
    there = np.isfinite(logits)
    happened, few = label[there], label.sum() < MIN_POSITIVES
    if (few and weights[0]) or not 0 < happened.sum() < len(happened):
        return alone(weights)
    both = np.stack([logits, cosine], axis=-1)[there]
    (scale,), bias = logistic_regression(both @ np.array(weights)[:, None], happened, FEW_RIDGE if few else RIDGE)
    return Fusion(float(scale * weights[0]), float(scale * weights[1]), bias) if scale > 0 else Fusion(*weights)


def fit_weights(logits: Logits, cosine: Logits, label: NDArray[np.bool_], least: float = 0.0) -> Weights:
    """The weights of logits and cosines [n, K] whose sum explains the labels best. Neither is negative.

    Where the DLRM is of no use, and where they cannot be fitted for want of both labels, it is the retriever alone.

    Args:
        least: the smallest weight of the DLRM.
    """
    both, there = np.stack([logits, cosine], axis=-1), np.isfinite(logits)
    if not 0 < label[there].sum() < there.sum():
        return least, 1.0
    if logits.shape[1] > 1:
        ranker, retriever = conditional_logit(both, label, (MOST_WEIGHT, np.inf), (least, 0.0))
    else:
        ranker, retriever = logistic_regression(both[there], label[there])[0]
    if ranker <= 0:
        return least, 1.0
    return float(ranker), max(0.0, float(retriever))


def logistic_regression(
    x: NDArray[Any], label: NDArray[np.bool_], ridge: float = RIDGE
) -> tuple[NDArray[np.float64], float]:
    """Logistic regression of label [M] on x [M, C]; returns the weights float64 [C] and the bias."""
    from sklearn.linear_model import LogisticRegression

    scale = standard_deviation(x)
    found = LogisticRegression(C=1 / ridge).fit(x / scale, label)
    return found.coef_[0] / scale, float(found.intercept_[0])


def conditional_logit(
    x: NDArray[np.float32], label: NDArray[np.bool_], most: Sequence[float], least: Sequence[float] = (0.0, 0.0)
) -> NDArray[np.float64]:
    """Weights float64 [C] of a conditional logit: which candidate of a request is the positive?

    McFadden, "Conditional logit analysis of qualitative choice behavior", 1974. A logistic regression on all rows would
    also explain differences between requests, some of which are easier than others; those do not order candidates.

    Args:
        x: float32 [n, K, C], -inf where there is no candidate.
        label: bool [n, K]; requests without a positive are left out.
        most, least: the largest and the smallest weight of each of the C.
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

    bounds = [(width * least[at], width * most[at]) for at, width in enumerate(scale)]
    start = np.ones(known.shape[-1])
    found: NDArray[np.float64] = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found / scale


def standard_deviation(x: NDArray[Any]) -> NDArray[np.float64]:
    """Standard deviation float64 [C] of x [M, C], 1 where it is 0."""
    found = x.std(axis=0, dtype=np.float64)
    return np.where(found > 0, found, 1.0)


class Ranker(tf.keras.Model):
    """The served model: user and context features [B, L] and item features [B, K, L] -> logits float32 [B, K].

    If the retriever has a weight, the inputs also hold ``query`` float32 [B, D] and ``item_vectors`` float32 [B, K, D],
    which the request path has anyway: their inner product is the retriever's score, and with ``neighbours`` the sum of
    that and ``neighbour_scores`` float32 [B, K]. If the DLRM has no weight, no feature is read.
    """

    def __init__(self, dlrm: Dlrm, fusion: Fusion, neighbours: bool = False) -> None:
        super().__init__()
        self.dlrm, self.fusion, self.neighbours = dlrm, fusion, neighbours

    def call(self, columns: Mapping[str, Any]) -> Any:
        return self._weighed(self.dlrm, columns)

    def pair(self, columns: Mapping[str, Any]) -> Any:
        """The same from item parts instead of item features, see ``item_part``."""
        return self._weighed(self.dlrm.pair, columns)

    def _weighed(self, dlrm: Callable[[Mapping[str, Any]], Any], columns: Mapping[str, Any]) -> Any:
        fusion, logits = self.fusion, []
        if fusion.ranker:
            logits += [fusion.ranker * dlrm(columns)]
        if fusion.retriever:
            score = tf.linalg.matvec(columns["item_vectors"], columns["query"])
            score = score + columns[NEIGHBOUR_SCORES] if self.neighbours else score
            logits += [fusion.retriever * score]
        line = tf.add_n(logits) + fusion.bias
        return line if fusion.curve is None else apply_curve(line, fusion.curve)


def apply_curve(logits: Any, curve: Curve) -> Any:
    """``curve`` of logits [B, K], as the sum over its pieces of the length up to the logit times the slope.

    Every term rises with the logit, so the sum does too, even after rounding. There is no matrix product, which the
    int8 export would quantize.
    """
    left, first, last = (tf.constant(part, tf.float32) for part in (curve.x[:-1], curve.x[0], curve.x[-1]))
    lengths = tf.minimum(tf.nn.relu(tf.expand_dims(logits, axis=-1) - left), curve.widths)
    outside = tf.minimum(logits - first, 0.0) + tf.nn.relu(logits - last)
    return curve.y[0] + tf.reduce_sum(lengths * curve.slopes, axis=-1) + outside
