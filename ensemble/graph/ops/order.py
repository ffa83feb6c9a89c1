"""From scored candidates to the recommended list: threshold, diversity, sampling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.kernel import (
    BOOL,
    FLOAT32,
    FLOAT64,
    INT64,
    inner,
    kernel,
    read,
    write,
)
from ....core.signature import Columns, ColumnSpec, Signature
from .base import Op
from .diversity import diverse_pool
from .sampling import gumbel_top_k


@dataclass
class Order(Op):
    """Select and order the items of the answer.

    1. Drop candidates whose score sigmoid(logit) is below ``min_score``.
    2. Pick a pool of max(``pool``, top_k) candidates by MMR. Relevance is the score, scaled to 0 .. 1 for each user.
    3. At temperature 0, sort the pool by score; every propensity is 1. Above 0, draw the list from the pool without
       replacement, with probabilities softmax(logit / temperature) and the seed of the row.

    candidate_rows int64 [B, K], logits float32 [B, K], item_vectors float32 [B, K, dim]; top_k int32, temperature
    float32 and seed int64, [B, 1] each -> ranked_rows int64 [B, k] padded with -1, scores and propensities float32
    [B, k] padded with 0; k is the largest top_k.
    """

    dim: int
    """Length of the item vectors."""
    pool: int = 50
    diversity_lambda: float = 0.2
    """Weight of dissimilarity in MMR; 0 picks by score only."""
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

    def load(self, folder: Path) -> None:
        for part in (relevances, diverse_pool, gumbel_top_k, fill_list):
            part.compile()

    def __call__(self, columns: Columns) -> Columns:
        rows, logits, vectors, top_k, temperature, seed = (np.ascontiguousarray(columns[name]) for name in self.reads)
        relevance, valid, pool = np.empty(rows.shape), np.empty(rows.shape, np.bool_), np.empty(rows.shape, np.bool_)
        relevances(rows, logits, self.min_score, relevance, valid)
        diverse_pool(relevance, vectors, valid, np.maximum(top_k, self.pool), self.diversity_lambda, pool)
        shape = (len(rows), int(top_k.max(initial=0)))
        ranked, scores = np.empty(shape, np.int64), np.empty(shape, np.float32)
        propensities = np.empty(shape, np.float32)
        gumbel_top_k(rows, logits, pool, top_k, temperature, seed, ranked, propensities)
        fill_list(rows, logits, ranked, scores)
        return {"ranked_rows": ranked, "scores": scores, "propensities": propensities}


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)), without overflow; 0 at -inf."""
    probabilities: NDArray[np.float64] = 0.5 * (1 + np.tanh(0.5 * logits))
    return probabilities


_sigmoid = inner()(sigmoid)


@kernel((read(INT64, 2), read(FLOAT32, 2), FLOAT64, write(FLOAT64, 2), write(BOOL, 2)))
def relevances(
    rows: NDArray[np.int64],
    logits: NDArray[np.float32],
    least: float,
    relevance: NDArray[np.float64],
    valid: NDArray[np.bool_],
) -> None:
    """Fill which candidates stay, and their relevance for MMR.

    Args:
        rows: [B, K], -1 where there is no candidate.
        logits: [B, K]; -inf also means no candidate.
        least: lowest score that stays.
        relevance: [B, K], filled with the scores, scaled to 0 .. 1 over the valid candidates of each user; 1 if their
            scores are all the same.
        valid: [B, K], filled with whether a candidate stays.
    """
    for user in range(len(rows)):
        low, high = 1.0, 0.0
        for place in range(rows.shape[1]):
            score = _sigmoid(np.float64(logits[user, place]))
            stays = rows[user, place] >= 0 and score >= least and logits[user, place] > -np.inf
            relevance[user, place], valid[user, place] = score, stays
            if stays:
                low, high = min(low, score), max(high, score)
        for place in range(rows.shape[1]):
            relevance[user, place] = (relevance[user, place] - low) / (high - low) if high > low else 1.0


@kernel((read(INT64, 2), read(FLOAT32, 2), write(INT64, 2), write(FLOAT32, 2)))
def fill_list(
    rows: NDArray[np.int64], logits: NDArray[np.float32], ranked: NDArray[np.int64], scores: NDArray[np.float32]
) -> None:
    """Replace positions among the K candidates in ``ranked`` [B, k] by item rows, and fill ``scores`` [B, k]."""
    for user in range(ranked.shape[0]):
        for at in range(ranked.shape[1]):
            place = ranked[user, at]
            if place >= 0:
                ranked[user, at] = rows[user, place]
                scores[user, at] = _sigmoid(np.float64(logits[user, place]))
            else:
                scores[user, at] = 0
