"""Sums of two models' scores: how much the second one counts, chosen by the lists that held-out items appear in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from ...core.features import HISTORY
from .. import metrics
from ..training.rows import Events, sampled
from .full_ranks import chunk_size

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from ...workflows.history.history import Histories

Score = Callable[[slice], NDArray[np.float32]]
"""A slice of requests -> the scores [B, n_items] of all items, in an array that the caller may overwrite."""
TOP = 20
"""Length of the lists."""
MOST_SCORES, FEWEST_REQUESTS = 20_000_000, 500
"""Requests are drawn so that a model has this many scores in all, but not fewer than so many requests."""
SEED = 0


@dataclass(frozen=True)
class Requests:
    """n requests of the validation part, and what should be in their answers."""

    events: Events
    """[n], one for each request: who asks, and with which history."""
    relevant: csr_matrix
    """bool [n, n_items]."""

    @classmethod
    def of(cls, events: Events, items: int) -> Requests:
        """Events of one user with the same history are one request."""
        from scipy.sparse import csr_matrix

        end = cast("Histories", events.moment[HISTORY]).end
        key = events.user_row.astype(np.int64) * (end.max(initial=0) + 1) + end
        _, first, request = np.unique(key, return_index=True, return_inverse=True)
        cells = np.ones(len(events), bool), (request, events.item_row)
        return cls(events.take(first), csr_matrix(cells, shape=(len(first), items)))

    def __len__(self) -> int:
        return len(self.events)

    def few(self) -> Requests:
        """So many of them that all mixtures can be tried in seconds."""
        at = sampled(len(self), max(FEWEST_REQUESTS, MOST_SCORES // self.relevant.shape[1]), SEED)
        return Requests(self.events.take(at), self.relevant[at])


@dataclass(frozen=True)
class Mixture:
    """score = first + ``weight`` * other."""

    other: int
    """Which of the others."""
    ratio: float
    """How far the other's scores spread over the items, as a multiple of the first one's."""
    weight: float
    ndcg: float
    """Of the requests' lists, see `TOP`."""


def products(queries: NDArray[np.float32], vectors: NDArray[np.float32]) -> Score:
    """Inner products of queries [n, D] and the vectors [n_items, D] of all items."""
    return lambda part: queries[part] @ vectors.T


def best_mixture(
    first: Score, others: Sequence[Score], ratios: Sequence[float], requests: Requests, seen: csr_matrix, of: str
) -> tuple[float, Mixture | None]:
    """The mixture with the best NDCG@20.

    Args:
        others: what may be added, one at a time.
        ratios: see `Mixture`.
        requests: n of them.
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

    alone, *mixed = ndcg_of_each(scores, requests, seen, of)
    best = int(np.argmax([values.mean() for values in mixed]))
    gain = mixed[best] - alone
    if gain.mean() <= gain.std() / np.sqrt(len(gain)):
        return float(alone.mean()), None
    other, ratio = best // len(ratios), ratios[best % len(ratios)]
    return float(alone.mean()), Mixture(other, ratio, ratio * units[other], float(mixed[best].mean()))


def ndcg_of_each(
    scores: Callable[[slice], Iterable[NDArray[np.float32]]], requests: Requests, seen: csr_matrix, of: str
) -> metrics.Values:
    """NDCG@20 of the requests by each of M models, [M, n].

    Args:
        scores: a slice of requests -> the scores [B, n_items] of each model, in arrays that may be overwritten.
        requests, seen, of: as in `best_mixture`, which says what is an error.
    """
    found: list[metrics.Values] = []
    size = chunk_size(seen.shape[1])
    for start in range(0, len(requests), size):
        part = slice(start, start + size)
        relevant, hidden = requests.relevant[part], seen[requests.events.user_row[part]].astype(bool)
        hidden = (hidden > relevant).tocoo()
        lists = []
        for own in scores(part):
            own[hidden.row, hidden.col] = -np.inf
            lists.append(metrics.scored_ndcg(own, relevant, TOP, of))
        found.append(np.stack(lists))
    return np.concatenate(found, axis=1)


def spread(score: Score, items: int) -> float:
    """The mean standard deviation over the items of the scores of some hundreds of requests."""
    return float(score(slice(0, chunk_size(items))).std(axis=1).mean())
