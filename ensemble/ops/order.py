"""From scored candidates to the list that is shown: threshold, diversity, sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...core.signature import Columns, ColumnSpec, Signature
from .base import Op
from .diversity import diverse_pool
from .sampling import gumbel_top_k


@dataclass
class Order(Op):
    """candidate_rows int64 [B, K], logits float32 [B, K], item_vectors float32 [B, K, dim], and of each row
    top_k int32, temperature float32, seed int64 [B, 1]
    -> ranked_rows int64 [B, k], -1 padded, scores and propensities float32 [B, k], 0 padded; k = largest top_k.

    1. Candidates whose score sigmoid(logit) is below ``min_score`` leave.
    2. MMR picks a pool of max(``pool``, top_k). Relevance is the score, scaled to 0 .. 1 over the user's candidates.
    3. At temperature 0 the pool is sorted by score and every propensity is 1; above, the list is drawn from
       softmax(logit / temperature) over the pool, without replacement, with the row's seed.
    """

    dim: int
    pool: int = 50
    diversity_lambda: float = 0.2
    min_score: float = 0.0

    kind: ClassVar[str] = "order"

    @property
    def reads(self) -> Signature:
        return {
            "candidate_rows": ColumnSpec("int64", ("K",)),
            "logits": ColumnSpec("float32", ("K",)),
            "item_vectors": ColumnSpec("float32", ("K", self.dim)),
            "top_k": ColumnSpec("int32"),
            "temperature": ColumnSpec("float32"),
            "seed": ColumnSpec("int64"),
        }

    @property
    def writes(self) -> Signature:
        return {
            "ranked_rows": ColumnSpec("int64", ("k",)),
            "scores": ColumnSpec("float32", ("k",)),
            "propensities": ColumnSpec("float32", ("k",)),
        }

    def __call__(self, columns: Columns) -> Columns:
        rows, top_k = columns["candidate_rows"], columns["top_k"][:, 0].astype(np.int64)
        logits = columns["logits"].astype(np.float64)
        scores = sigmoid(logits)
        valid = (rows >= 0) & (scores >= self.min_score)
        pool = diverse_pool(
            scaled(scores, valid),
            columns["item_vectors"],
            valid,
            np.maximum(self.pool, top_k),
            self.diversity_lambda,
        )
        shape = (len(rows), int(top_k.max(initial=0)))
        out = {"ranked_rows": np.full(shape, -1, dtype=np.int64)}
        out |= {name: np.zeros(shape, dtype=np.float32) for name in ("scores", "propensities")}
        for user, settings in enumerate(zip(columns["temperature"][:, 0], columns["seed"][:, 0], strict=True)):
            picks, propensities = pick(logits[user], pool[user], int(top_k[user]), *settings)
            out["ranked_rows"][user, : picks.size] = rows[user, picks]
            out["scores"][user, : picks.size] = scores[user, picks]
            out["propensities"][user, : picks.size] = propensities
        return out


def pick(
    logits: NDArray[np.float64], pool: NDArray[np.bool_], count: int, temperature: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Positions int64 [n] among ``logits`` [K] and their propensities [n]: up to ``count`` of the pool [K]."""
    members = np.flatnonzero(pool)
    members = members[np.argsort(-logits[members], kind="stable")]
    if temperature == 0:
        return members[:count], np.ones(min(count, members.size))
    drawn, propensities = gumbel_top_k(logits[members], float(temperature), int(seed), count)
    return members[drawn], propensities


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)), without overflow; 0 at -inf."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))


def scaled(scores: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
    """``scores`` [B, K] scaled to 0 .. 1 over the valid ones of each row; 1 where all are the same."""
    low = np.min(scores, axis=1, keepdims=True, initial=1, where=valid)
    high = np.max(scores, axis=1, keepdims=True, initial=0, where=valid)
    return np.where(high > low, (scores - low) / np.where(high > low, high - low, 1), 1.0)
