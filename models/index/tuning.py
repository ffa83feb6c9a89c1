"""Tuning of an approximate index: the smallest nprobe or efSearch that reaches the recall target."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.progress import progress

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Queries = Mapping[str, Floats]
"""Group of users -> query vectors [n, D]."""
Recalls = Mapping[str, float]
"""Group of users -> recall; ``all`` is the recall over all queries."""

MOST_EF, UNTUNED_EF = 4096, 512
"""Largest efSearch, and the efSearch of an index that is not tuned; at least ``topk`` each."""
UNTUNED_LISTS = 8
"""An ivf index that is not tuned searches one list in this many."""
AFFORDABLE = 2
"""A group of users may raise the parameter to at most this multiple of what all queries together need."""
FINE = 50
"""The search stops when the parameter is known to within 1 / FINE of its value."""
SAME = 1e-6
"""Inner products of unit vectors that differ by less count as equal: float32 sums depend on their order."""
CHUNK = 1 << 14
"""Item vectors compared with all queries at once."""


def tune(
    index: Any, kind: str, vectors: Floats, queries: Queries, topk: int, target: float, keep: int | None = None
) -> dict[str, Any]:
    """Set the smallest nprobe (ivf) or efSearch (hnsw) with which each group of ``queries`` reaches ``target``.

    Args:
        index: FAISS index of ``vectors``.
        kind: flat, ivf or hnsw.
        vectors: float32 [n_items, D].
        topk: recall is the share of the exact ``topk`` nearest items that the index finds.
        keep: a value that is kept if it reaches the target, or if there is nothing to measure with.

    Returns:
        search (the parameter), recall (over all queries; None without any), recall_target, queries (group -> count and
        recall), notices (where recall misses the target).
    """
    if kind == "flat":
        return {"search": {}, "recall": 1.0, "recall_target": target, "queries": {}, "notices": []}
    name, lowest, cap, untuned = _parameter(index, kind, topk)
    value = keep or untuned
    groups = {group: found for group, found in queries.items() if len(found)}
    reached: Recalls = {}
    if groups:
        recalls = _recalls(index, name, vectors, groups, topk)
        if keep is None or min(recalls(keep).values()) < target:
            value = choose(recalls, target, lowest, cap)
        reached = recalls(value)
    _set(index, name, value)
    return {"search": {name: value}, **_summary(groups, reached, target, f"{name} {value}", topk)}


def measure(index: Any, kind: str, vectors: Floats, queries: Queries, topk: int, target: float) -> dict[str, Any]:
    """The recall of a registered index type, whose parameters stay as they were built; returns what `tune` does."""
    groups = {group: found for group, found in queries.items() if len(found)}
    reached = _recalls(index, None, vectors, groups, topk)(0) if groups else {}
    return {"search": {}, **_summary(groups, reached, target, f"index type {kind}", topk)}


def _summary(groups: Queries, reached: Recalls, target: float, setting: str, topk: int) -> dict[str, Any]:
    return {
        "recall": reached.get("all"),
        "recall_target": target,
        "queries": {group: {"count": len(found), "recall": reached[group]} for group, found in groups.items()},
        "notices": _notices(reached, target, setting, topk),
    }


def _recalls(index: Any, name: str | None, vectors: Floats, groups: Queries, topk: int) -> Callable[[int], Recalls]:
    """A function of the search parameter ``name`` (None: there is none to set) that gives the recalls."""
    queries = np.concatenate(list(groups.values()))
    ends = np.cumsum([len(found) for found in groups.values()])[:-1]
    bar = kth_score(vectors, queries, topk)

    @lru_cache
    def recalls(value: int) -> Recalls:
        if name is not None:
            _set(index, name, value)
        shares = hit_share(index, vectors, queries, bar, topk)
        parts = zip(groups, np.split(shares, ends), strict=True)
        return {"all": round(shares.mean(), 6), **{group: round(part.mean(), 6) for group, part in parts}}

    return recalls


def _parameter(index: Any, kind: str, topk: int) -> tuple[str, int, int, int]:
    """Name, lowest, highest and untuned value of the index's search parameter."""
    if kind == "ivf":
        lists = int(index.nlist)
        return "nprobe", 1, lists, max(min(lists, UNTUNED_LISTS), lists // UNTUNED_LISTS)
    return "efSearch", topk, max(topk, MOST_EF), max(topk, UNTUNED_EF)


def _set(index: Any, name: str, value: int) -> None:
    import faiss

    faiss.ParameterSpace().set_index_parameter(index, name, value)


def _notices(reached: Recalls, target: float, setting: str, topk: int) -> list[str]:
    if not reached:
        notice = f"serving.ann.recall_target: no events to measure recall on, so {setting} is not tuned"
    elif min(reached.values()) < target:
        found = ", ".join(f"{recall:.4f} ({group})" for group, recall in reached.items())
        notice = f"serving.ann.recall_target {target:g}: with {setting} the recall of the exact top {topk} is {found}"
    else:
        return []
    log.warning(notice)
    return [notice]


def choose(recalls: Callable[[int], Recalls], target: float, lowest: int, cap: int) -> int:
    """The smallest value with which each group reaches ``target``.

    If that is more than ``AFFORDABLE`` times the smallest value for all queries together, the latter is taken, and
    ``cap`` if no value reaches the target.
    """
    together = least(lambda value: recalls(value)["all"] >= target, lowest, cap)
    if together is None:
        return cap
    most = min(cap, AFFORDABLE * together)
    return least(lambda value: min(recalls(value).values()) >= target, together, most) or together


def least(reaches: Callable[[int], bool], lowest: int, cap: int) -> int | None:
    """The smallest value that ``reaches``, to within 1 / ``FINE`` of it; None if ``cap`` does not.

    Small values are cheap to try, so it doubles the value before it bisects.
    """
    below, at = lowest - 1, lowest
    while not reaches(at):
        if at == cap:
            return None
        below, at = at, min(2 * at, cap)
    while at - below > max(1, at // FINE):
        middle = (below + at) // 2
        below, at = (below, middle) if reaches(middle) else (middle, at)
    return at


def hit_share(index: Any, vectors: Floats, queries: Floats, bar: Floats, topk: int) -> NDArray[np.float64]:
    """Recall float64 [n] of each query: the share of its ``topk`` results whose inner product reaches ``bar`` [n].

    Scores are compared rather than rows, so that any of several items with the same vector counts.

    Args:
        queries: float32 [n, D].
        bar: the ``topk``-th highest inner product of each query, see `kth_score`.
    """
    _, rows = index.search(queries, topk)
    scores = np.matmul(vectors[np.maximum(rows, 0)], queries[:, :, None])[:, :, 0]
    hits: NDArray[np.float64] = ((scores >= bar[:, None] - SAME) & (rows >= 0)).mean(axis=1)
    return hits


def kth_score(vectors: Floats, queries: Floats, topk: int) -> Floats:
    """The ``topk``-th highest inner product float32 [n] of ``queries`` [n, D] with ``vectors`` [n_items, D].

    Computed chunk by chunk, and several times faster than a flat index: only the few inner products above the highest
    ones so far are kept and sorted.
    """

    first = max(CHUNK, topk)
    best = _highest(queries @ vectors[:first].T, topk)
    waiting: list[tuple[NDArray[np.int64], Floats]] = []
    for at in progress(range(first, len(vectors), CHUNK), desc="exact neighbours", unit="chunk"):
        scores = queries @ vectors[at : at + CHUNK].T
        rows, columns = np.nonzero(scores > best.min(axis=1, keepdims=True))
        waiting.append((rows, scores[rows, columns]))
        if sum(len(part) for part, _ in waiting) > best.size:
            best, waiting = _merge(best, waiting), []
    bar: Floats = _merge(best, waiting).min(axis=1)
    return bar


def _highest(scores: Floats, topk: int) -> Floats:
    return np.partition(scores, -topk, axis=1)[:, -topk:].copy()


def _merge(best: Floats, waiting: list[tuple[NDArray[np.int64], Floats]]) -> Floats:
    """The k highest of ``best`` [n, k] and of (row, score) pairs, [n, k] descending."""
    count, topk = best.shape
    rows = np.concatenate([np.repeat(np.arange(count), topk), *(part for part, _ in waiting)])
    scores = np.concatenate([best.ravel(), *(part for _, part in waiting)])
    order = np.lexsort((-scores, rows))
    starts = np.searchsorted(rows[order], np.arange(count))
    merged: Floats = scores[order][starts[:, None] + np.arange(topk)]
    return merged
