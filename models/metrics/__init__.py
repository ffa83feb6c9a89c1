"""Ranking and calibration metrics on numpy arrays; no other module of the package computes any.

In: hits of ranked lists, or scores with labels. Out: float64 arrays, one value per user or group; the mean over them is
the caller's. Nothing is sampled: a rank is a rank among all items of the catalogue, or among all candidates.

Scores that tie share the mean of their ranks. NaN is a `DivergedError` that says what was scored. Start with `ranks`.
"""

from .calibration_error import BINS, calibration, ece, equal_bins
from .ranks import Counts, Values, check_scores, mean_ranks, target_ranks, top_ranks
from .roc import auc, gauc, grouped_auc
from .top_k import (
    Hits,
    average_precision,
    discounts,
    find_hits,
    ndcg,
    recall,
    reciprocal_rank,
    scored_ndcg,
    target_ndcg,
    target_recall,
)

__all__ = [
    "BINS",
    "Counts",
    "Hits",
    "Values",
    "auc",
    "average_precision",
    "calibration",
    "check_scores",
    "discounts",
    "ece",
    "equal_bins",
    "find_hits",
    "gauc",
    "grouped_auc",
    "mean_ranks",
    "ndcg",
    "recall",
    "reciprocal_rank",
    "scored_ndcg",
    "target_ndcg",
    "target_ranks",
    "target_recall",
    "top_ranks",
]
