"""The ranker's training rows where only positives were logged: each positive against sampled candidates.

An event is one positive. Its population are the candidates that the retriever would have returned at that moment: the
items nearest to the query that the user had not seen, of which at most one is the positive. A training sample holds

- the positive, always;
- ``hard`` of its C other candidates, each with probability min(1, hard / C);
- ``random`` items of the whole catalogue of n items, each random / n times on average;
- ``explicit`` of the E items that the user had and did not like, each explicit / E times on average.

A row that is drawn ``rate`` times on average as a negative, and once as the positive, is positive in the sample with
1 / rate times its odds in the population. The model is therefore trained on its logit minus log(rate), and
sigmoid(logit) is the probability in the population (King and Zeng, "Logistic regression in rare events data", 2001).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..retriever.neighbours import Reach
    from ..retriever.user_items import UserItems

PAD = -1
"""Item row that stands for padding."""
Rows = NDArray[np.int32]
MOST_QUERIES, MOST_FOUND = 1024, 1_000_000
"""Queries searched at once, and the items found for all of them together."""


@dataclass(frozen=True)
class Draw:
    """The samples of B events, M rows each, the positive first."""

    items: Rows
    """[B, M] item rows; 0 where there is no item, and the weight is 0."""
    label: NDArray[np.float32]
    """[B, M] 1 for the positive, else 0."""
    log_rate: NDArray[np.float32]
    """[B, M] log of how often the row is drawn on average as a negative."""
    weight: NDArray[np.float32]
    """[B, M] 0 for a row that the loss leaves out, else 1."""


@dataclass(frozen=True)
class Sampler:
    """Draws the negatives of events; the fields are their number per event, by kind."""

    n_items: int
    hard: int
    random: int
    explicit: int = 0

    @property
    def rows(self) -> int:
        """Rows per event, M."""
        return 1 + self.hard + self.random + self.explicit

    def __call__(
        self,
        rng: np.random.Generator,
        positives: Rows,
        candidates: Rows,
        retrieved: NDArray[np.bool_],
        seen: UserItems,
        disliked: UserItems | None = None,
    ) -> Draw:
        """Draw the samples of B events.

        Args:
            positives: item rows [B].
            candidates: item rows [B, C] without the positive, padded with -1.
            retrieved: bool [B], whether the retriever returns the positive.
            seen: items that cannot be candidates; random draws of them get weight 0.
            disliked: the items of explicit negatives; None for none.
        """
        count = (candidates != PAD).sum(axis=1)
        hard_rate = np.minimum(1.0, self.hard / np.maximum(count, 1))
        random_rate = self.random / self.n_items
        hard = draw_without_replacement(rng, candidates, self.hard)
        random = rng.integers(0, self.n_items, (len(positives), self.random), dtype=np.int32)
        own = positives[:, None]
        out = (random == own) | seen.contains(random)
        near = (random[:, :, None] == candidates[:, None, :]).any(axis=2)
        rates = [
            np.where(retrieved, hard_rate, 0.0)[:, None] + random_rate,
            np.broadcast_to(hard_rate[:, None] + random_rate, hard.shape),
            np.where(near, hard_rate[:, None], 0.0) + random_rate,
        ]
        items = [own, hard, np.where(out, PAD, random)]
        if self.explicit and disliked is not None:
            drawn, rate = draw_items(rng, disliked, self.explicit)
            items.append(np.where(drawn == own, PAD, drawn))
            rates.append(np.broadcast_to(rate[:, None], drawn.shape))
        return _draw(np.concatenate(items, axis=1), np.concatenate(rates, axis=1))


def _draw(items: Rows, rates: NDArray[np.float64]) -> Draw:
    there = (items != PAD) & (rates > 0)
    label = np.zeros(items.shape, np.float32)
    label[:, 0] = 1
    log_rate = np.log(np.where(rates > 0, rates, 1.0)).astype(np.float32)
    return Draw(np.where(there, items, 0), label, log_rate, there.astype(np.float32))


def draw_without_replacement(rng: np.random.Generator, rows: Rows, count: int) -> Rows:
    """Draw ``count`` entries of each row [B, C], padding excluded; rows with fewer entries are padded with -1."""
    key = np.where(rows == PAD, 2.0, rng.random(rows.shape))
    if rows.shape[1] < count:
        wide = np.full((len(rows), count - rows.shape[1]), PAD, rows.dtype)
        rows, key = np.concatenate([rows, wide], axis=1), np.concatenate([key, np.full(wide.shape, 2.0)], axis=1)
    if rows.shape[1] == count:
        return rows
    return np.take_along_axis(rows, np.argpartition(key, count, axis=1)[:, :count], axis=1)


def draw_items(rng: np.random.Generator, items: UserItems, count: int) -> tuple[Rows, NDArray[np.float64]]:
    """Draw ``count`` items of each event's user with replacement; -1 for a user without items.

    Returns:
        int32 [B, count], and float64 [B], the expected number of draws of each item of the user.
    """
    matrix, have = items.matrix, items.counts()
    at = matrix.indptr[items.users][:, None] + np.floor(rng.random((len(have), count)) * have[:, None]).astype(np.int64)
    if matrix.nnz == 0:
        return np.full(at.shape, PAD, np.int32), np.zeros(len(have))
    drawn = matrix.indices[np.minimum(at, matrix.nnz - 1)]
    return np.where(have[:, None] > 0, drawn, PAD).astype(np.int32), count / np.maximum(have, 1)


def retrieve(index: Any, queries: NDArray[np.float32], seen: UserItems, count: int, reach: Reach | None = None) -> Rows:
    """The ``count`` best items of each query that its user does not have in ``seen``.

    Args:
        index: FAISS index of n_items vectors.
        queries: float32 [B, D].
        reach: what the histories of the same B requests add; None for the index alone.

    Returns:
        Item rows int32 [B, count], best first, padded with -1.
    """
    found = np.full((len(queries), count), PAD, np.int32)
    have, vectors = seen.counts(), flat_vectors(index)
    order = np.argsort(have, kind="stable")  # search users with similar numbers of seen items together
    at = 0
    while at < len(order):
        wanted = min(count + int(have[order[at : at + MOST_QUERIES]].max()), index.ntotal)
        width = wanted if vectors is None else index.ntotal
        part = order[at : at + max(1, min(MOST_QUERIES, MOST_FOUND // width))]
        some = np.ascontiguousarray(queries[part])
        if vectors is None:
            _, rows = index.search(some, wanted)
            if reach is not None:
                most = count + have[part]
                rows = reach.neighbours.merged(some, reach.vectors, reach.history[part], rows, most)
            found[part] = _first_unseen(rows, seen.take(part), count)
        else:
            scores = some @ vectors.T
            if reach is not None:
                reach.neighbours.add(reach.history[part], scores)
            found[part] = _nearest_unseen(scores, seen.take(part), count)
        at += len(part)
    return found


def flat_vectors(index: Any) -> NDArray[np.float32] | None:
    """The vectors [n_items, D] of an index that compares a query with all of them; None for any other.

    A matrix product from which seen items are taken out takes a third of the time of a search for so many more.
    """
    import faiss

    inner = faiss.downcast_index(index)
    if not isinstance(inner, faiss.IndexFlat) or inner.metric_type != faiss.METRIC_INNER_PRODUCT:
        return None
    return np.asarray(faiss.rev_swig_ptr(inner.get_xb(), index.ntotal * index.d)).reshape(index.ntotal, index.d)


def _nearest_unseen(scores: NDArray[np.float32], seen: UserItems, count: int) -> Rows:
    """The items with the highest ``scores`` [B, n_items]; seen ones are overwritten."""
    rows, hidden = np.arange(len(scores))[:, None], seen.matrix[seen.users].tocoo()
    own = rows[:, :0] if seen.without is None else seen.without[:, None]
    kept = scores[rows, own]
    scores[hidden.row, hidden.col] = -np.inf
    scores[rows, own] = kept
    others = max(0, scores.shape[1] - count)
    best = np.argpartition(scores, others, axis=1)[:, others:]
    best = np.take_along_axis(best, np.argsort(-scores[rows, best], axis=1, kind="stable"), axis=1)
    found = np.where(np.isneginf(scores[rows, best]), PAD, best)
    return np.pad(found, ((0, 0), (0, count - found.shape[1])), constant_values=PAD).astype(np.int32)


def _first_unseen(rows: NDArray[np.int64], seen: UserItems, count: int) -> Rows:
    fresh = (rows >= 0) & ~seen.contains(np.maximum(rows, 0))
    front = np.argsort(~fresh, axis=1, kind="stable")[:, :count]
    kept = np.where(np.take_along_axis(fresh, front, axis=1), np.take_along_axis(rows, front, axis=1), PAD)
    return np.pad(kept, ((0, 0), (0, count - kept.shape[1])), constant_values=PAD).astype(np.int32)
