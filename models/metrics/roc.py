"""The area under the ROC curve: how often a positive is scored above a negative, a tie counting one half."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ranks import Counts, Values, mean_ranks


def auc(score: NDArray[np.floating[Any]], label: NDArray[np.bool_], of: str = "scores") -> float | None:
    """AUC of scores [M] for labels [M]; None without positives or without negatives.

    Raises:
        DivergedError: if a score is NaN; ``of`` says what was scored.
    """
    found = grouped_auc(score, label, np.zeros(len(label), np.int64), 1, of)[0]
    return None if np.isnan(found) else float(found)


def grouped_auc(
    score: NDArray[np.floating[Any]],
    label: NDArray[np.bool_],
    group: NDArray[np.integer[Any]],
    groups: int,
    of: str = "scores",
) -> Values:
    """AUC [groups] of the rows [M] of each group; NaN where a group lacks positives or negatives.

    From the ranks of the positives, where scores that tie share their mean rank: Mann and Whitney, "On a test of
    whether one of two random variables is stochastically larger than the other", 1947.

    Raises:
        DivergedError: if a score is NaN; ``of`` says what was scored.
    """
    ranks = mean_ranks(score, group, of)
    rows, positives = (np.bincount(group, weights, groups) for weights in (None, label))
    pairs = positives * (rows - positives)
    above = np.bincount(group, ranks * label, groups) - positives * (positives + 1) / 2
    return np.divide(above, pairs, out=np.full(groups, np.nan), where=pairs > 0)


def gauc(auc: Values, rows: Counts) -> float | None:
    """Mean of the groups' AUC [G] weighted by their rows [G], over the groups that have an AUC; None if none has.

    Zhu et al., "Optimized Cost per Click in Taobao Display Advertising", 2017.
    """
    known = np.isfinite(auc)
    return float(np.average(auc[known], weights=rows[known])) if known.any() else None
