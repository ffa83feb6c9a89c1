"""The served ranker: DLRM and the retriever's own opinion, weighed on the validation part.

The retriever was trained on the ranker's training events, so there its similarities look better than they are; on the
validation part both are out of sample. A logistic regression of what happened on the two logits there gives the
weights, and calibrates their sum as it does so (stacking: Wolpert, "Stacked generalization", 1992; scaling: Platt,
"Probabilistic outputs for support vector machines", 1999).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backend import tf
from .dlrm import Dlrm

FEWEST_POSITIVES = 50
"""Fewer positives in the validation part say too little about three numbers."""


@dataclass(frozen=True)
class Fusion:
    """logit = ``ranker`` * DLRM's logit + ``retriever`` * cosine + ``bias``."""

    ranker: float = 1.0
    retriever: float = 0.0
    bias: float = 0.0

    def __call__(self, logits: NDArray[np.float32], cosine: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(self.ranker * logits + self.retriever * cosine + self.bias, np.float32)


def fit_fusion(logits: NDArray[np.float32], cosine: NDArray[np.float32], label: NDArray[np.bool_]) -> Fusion:
    """Logistic regression of label [M] on both [M]; DLRM alone where it has too little or turns one upside down."""
    from sklearn.linear_model import LogisticRegression

    if label.sum() < FEWEST_POSITIVES or label.all():
        return Fusion()
    scale = np.array([logits.std() or 1.0, cosine.std() or 1.0])
    x = np.stack([logits, cosine], axis=1).astype(np.float64) / scale
    found = LogisticRegression(C=1e4).fit(x, label)
    ranker, retriever = found.coef_[0] / scale
    if ranker <= 0 or retriever < 0:
        return Fusion()
    return Fusion(float(ranker), float(retriever), float(found.intercept_[0]))


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
        if not self.fusion.retriever:
            return logits
        return logits + self.fusion.retriever * tf.linalg.matvec(columns["item_vectors"], columns["query"])
