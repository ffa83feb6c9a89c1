"""Ranks of scores. Scores that tie share the mean of their ranks, so no order of the rows favours anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DivergedError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Values = NDArray[np.float64]
Counts = NDArray[np.int64]


def target_ranks(scores: NDArray[np.floating[Any]], target: NDArray[np.integer[Any]], of: str = "scores") -> Values:
    """The rank of one item in each row of scores; 0 is best, and n items that tie share the mean of their n ranks.

    Args:
        scores: [B, N], higher is better; -inf where there is no item.
        target: int [B], column of the item, or -1 where the item is not among the N.
        of: what was scored, for the error: "ranker, epoch 3".

    Returns:
        float64 [B], from 0 to N - 1, a multiple of 1/2; inf where ``target`` is -1.

    Raises:
        DivergedError: if a score is NaN, or a target's score is -inf.
    """
    found, there = np.full(len(scores), np.inf), np.flatnonzero(target >= 0)
    check_scores(scores, of)
    own = scores[there, target[there]]
    if np.isneginf(own).any():
        raise DivergedError(f"{of}: the score of {np.isneginf(own).sum()} of {len(own)} targets is -inf")
    among = scores if len(there) == len(scores) else scores[there]
    above, equal = ((compare(among, own[:, None])).sum(axis=1) for compare in (np.greater, np.equal))
    found[there] = above + (equal - 1) / 2
    return found


def top_ranks(scores: NDArray[np.floating[Any]], relevant: csr_matrix, k: int, of: str = "scores") -> Values:
    """The rank of each relevant item among the scores of its row, if it is below ``k``; ties as in `target_ranks`.

    Args:
        scores: [B, N], as in `target_ranks`.
        relevant: bool [B, N].

    Returns:
        float64 [P], for each non-zero of ``relevant`` in its order; inf from ``k`` on, and for a score of -inf.

    Raises:
        DivergedError: if a score is NaN.
    """
    check_scores(scores, of)
    width, row = min(k, scores.shape[1]), np.repeat(np.arange(len(scores)), np.diff(relevant.indptr))
    first = np.partition(scores, -width, axis=1)[:, -width:]
    least = first.min(axis=1)
    ties = (scores == least[:, None]).sum(axis=1)
    own = scores[row, relevant.indices]
    near = np.flatnonzero((own >= least[row]) & ~np.isneginf(own))
    row, own = row[near], own[near]
    above, equal = (compare(first[row], own[:, None]).sum(axis=1) for compare in (np.greater, np.equal))
    equal = np.where(own == least[row], ties[row], equal)
    found, ranks = np.full(relevant.nnz, np.inf), above + (equal - 1) / 2
    found[near] = np.where(ranks < k, ranks, np.inf)
    return found


def mean_ranks(scores: NDArray[np.floating[Any]], group: NDArray[np.integer[Any]], of: str = "scores") -> Values:
    """Rank [M] of each score [M] within its group [M]; 1 is the lowest, and scores that tie share their mean rank.

    Raises:
        DivergedError: if a score is NaN; ``of`` says what was scored.
    """
    check_scores(scores, of)
    order = np.lexsort((scores, group))
    group, scores = group[order], scores[order]
    first = np.append(True, group[1:] != group[:-1])[: len(group)]
    starts = np.flatnonzero(first | np.append(True, scores[1:] != scores[:-1])[: len(group)])
    ties = np.diff(np.append(starts, len(group)))
    place = np.repeat(starts + (ties + 1) / 2, ties)
    before = np.maximum.accumulate(np.where(first, np.arange(len(group)), 0))
    ranks = np.empty(len(group))
    ranks[order] = place - before
    return ranks


def check_scores(scores: NDArray[np.floating[Any]], of: str) -> None:
    """Check that no score is NaN.

    Raises:
        DivergedError: with what was scored, ``of``, and how many scores are NaN.
    """
    if scores.size and np.isnan(scores.max()):
        raise DivergedError(
            f"{of}: {np.isnan(scores).sum():,} of {scores.size:,} scores are NaN: the model has diverged; "
            "lower its learning rate"
        )
