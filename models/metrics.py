"""Ranking and calibration metrics on numpy arrays.

Ranking metrics take ``hits`` bool [B, R] (whether the item at that rank is relevant, best rank first) and ``relevant``
int [B] (how many items are relevant to that user, all positive) and give float64 [B]; the mean over users is the
caller's. No negative sampling anywhere: ``hits`` comes from a ranking of the whole catalogue.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Hits = NDArray[np.bool_]
Counts = NDArray[np.int64]
Values = NDArray[np.float64]


def find_hits(ranked: NDArray[np.int64], relevant: csr_matrix) -> tuple[Hits, Counts]:
    """Look the ranked items up among the relevant ones.

    Args:
        ranked: int64 [B, R] item rows, best first, padded with -1.
        relevant: [B, n_items], non-zero where the item is relevant to the user.

    Returns:
        hits bool [B, R] and relevant int64 [B], what the metrics below take.
    """
    users = np.arange(len(ranked))[:, None]
    found = np.asarray(relevant[users, np.maximum(ranked, 0)].todense()) != 0
    return found & (ranked >= 0), np.diff(relevant.indptr).astype(np.int64)


def recall(hits: Hits, relevant: Counts, k: int) -> Values:
    """Share of the relevant items that are among the first ``k``."""
    return np.asarray(hits[:, :k].sum(axis=1) / relevant)


def ndcg(hits: Hits, relevant: Counts, k: int) -> Values:
    """Discounted gain of the first ``k`` with gain 1 and discount 1 / log2(1 + rank), over the best possible.

    Jaervelin and Kekaelaeinen, "Cumulated gain-based evaluation of IR techniques", 2002.
    """
    discount = 1 / np.log2(np.arange(2, k + 2))
    gain = hits[:, :k] @ discount[: hits.shape[1]]
    return np.asarray(gain / np.cumsum(discount)[np.minimum(relevant, k) - 1])


def average_precision(hits: Hits, relevant: Counts, k: int) -> Values:
    """Mean of the precision at each hit among the first ``k``, over min(relevant, k); its mean over users is MAP@k."""
    first = hits[:, :k]
    precision = np.cumsum(first, axis=1) / np.arange(1, first.shape[1] + 1)
    return np.asarray((precision * first).sum(axis=1) / np.minimum(relevant, k))


def reciprocal_rank(hits: Hits, k: int) -> Values:
    """1 / rank of the first hit among the first ``k``, 0 without one; its mean over users is MRR@k."""
    first = hits[:, :k]
    return np.where(first.any(axis=1), 1 / (1 + first.argmax(axis=1)), 0.0)


def calibration(
    probability: NDArray[np.floating[Any]], label: NDArray[np.generic], bins: int = 15
) -> tuple[Values, Values, Counts]:
    """Mean probability, observed rate and number of rows, each [<= bins], in bins of equally many rows.

    Bins of equal width would put every row of a ranker whose probabilities are all small into the first one.
    """
    order = np.argsort(probability, kind="stable")
    chunks = [chunk for chunk in np.array_split(order, bins) if len(chunk)]
    predicted = np.array([probability[chunk].mean(dtype=np.float64) for chunk in chunks])
    observed = np.array([label[chunk].mean(dtype=np.float64) for chunk in chunks])
    return predicted, observed, np.array([len(chunk) for chunk in chunks], dtype=np.int64)


def ece(probability: NDArray[np.floating[Any]], label: NDArray[np.generic], bins: int = 15) -> float:
    """Expected calibration error: the row-weighted mean of |mean probability - observed rate| over the bins.

    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015.
    """
    predicted, observed, rows = calibration(probability, label, bins)
    return float(np.average(np.abs(predicted - observed), weights=rows))


def grouped_auc(
    score: NDArray[np.floating[Any]], label: NDArray[np.bool_], group: NDArray[np.integer[Any]], groups: int
) -> Values:
    """AUC [groups] of the rows [M] of each group; NaN where a group lacks positives or negatives.

    By the mean rank of the positives, ties at their mean rank: Mann and Whitney, 1947.
    """
    order = np.lexsort((score, group))
    score, label, group = score[order], label[order], group[order]
    fresh = np.append(True, (group[1:] != group[:-1]) | (score[1:] != score[:-1]))[: len(group)]
    starts = np.flatnonzero(fresh)
    ties = np.diff(np.append(starts, len(group)))
    place = np.repeat(starts + (ties + 1) / 2, ties)
    rows, positives = (np.bincount(group, weights, groups) for weights in (None, label))
    rank = place - (np.cumsum(rows) - rows)[group]
    pairs = positives * (rows - positives)
    above = np.bincount(group, rank * label, groups) - positives * (positives + 1) / 2
    return np.divide(above, pairs, out=np.full(groups, np.nan), where=pairs > 0)


def gauc(auc: Values, rows: Counts) -> float | None:
    """Mean of the groups' AUC [G] weighted by their rows [G], of those that have one; None if none has.

    Zhu et al., "Optimized Cost per Click in Taobao Display Advertising", 2017.
    """
    there = np.isfinite(auc)
    return float(np.average(auc[there], weights=rows[there])) if there.any() else None
