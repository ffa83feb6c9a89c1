"""Sums of two models' scores: how much the second one counts, chosen by how they rank held-out items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..training.rows import Events
from .full_ranks import chunk_size, ranks_of_each

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Score = Callable[[slice], NDArray[np.float32]]
"""A slice of events -> the scores [B, n_items] of all items, in an array that the caller may overwrite."""
MOST_SCORES, FEWEST_EVENTS = 20_000_000, 500
"""Events are drawn so that a model has this many scores in all, but not fewer than so many events."""
SEED = 0


@dataclass(frozen=True)
class Mixture:
    """score = first + ``weight`` * other."""

    other: int
    """Which of the others."""
    ratio: float
    """How far the other's scores spread over the items, as a multiple of the first one's."""
    weight: float
    ndcg: float
    """Of the held-out items, without a cut-off."""


def products(queries: NDArray[np.float32], vectors: NDArray[np.float32]) -> Score:
    """Inner products of queries [n, D] and the vectors [n_items, D] of all items."""
    return lambda part: queries[part] @ vectors.T


def few(events: Events, items: int) -> Events:
    """So many of the events that all mixtures can be tried on them in seconds."""
    return events.sample(max(FEWEST_EVENTS, MOST_SCORES // items), SEED)


def best_mixture(
    first: Score, others: Sequence[Score], ratios: Sequence[float], events: Events, seen: csr_matrix, of: str
) -> tuple[float, Mixture | None]:
    """The mixture with the best NDCG of held-out items.

    Args:
        others: what may be added, one at a time.
        ratios: see `Mixture`.
        events: the held-out ones.
        seen: bool [n_users, n_items], items that are not ranked.
        of: what is ranked, for the error.

    Returns:
        The NDCG of the first alone; and the best mixture, None if its gain is not above one standard error.

    Raises:
        DivergedError: if a score is NaN.
    """
    own = spread(first, seen.shape[1])
    units = [own / max(spread(other, seen.shape[1]), 1e-12) for other in others]

    def scores(part: slice) -> Iterator[NDArray[np.float32]]:
        alone = first(part)
        yield alone.copy()
        for other, unit in zip(others, units, strict=True):
            added = unit * other(part)
            yield from (alone + np.float32(ratio) * added for ratio in ratios)

    alone, *mixed = metrics.target_ndcg(ranks_of_each(scores, events, seen, of))
    best = int(np.argmax([values.mean() for values in mixed]))
    gain = mixed[best] - alone
    if gain.mean() <= gain.std() / np.sqrt(len(gain)):
        return float(alone.mean()), None
    other, ratio = best // len(ratios), ratios[best % len(ratios)]
    return float(alone.mean()), Mixture(other, ratio, ratio * units[other], float(mixed[best].mean()))


def spread(score: Score, items: int) -> float:
    """The mean standard deviation over the items of the scores of some hundreds of events."""
    return float(score(slice(0, chunk_size(items))).std(axis=1).mean())
