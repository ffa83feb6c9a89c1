"""How far an approximate index has to look: the least nprobe or efSearch that reaches a recall."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Queries = Mapping[str, Floats]
"""Group of users -> query vectors [n, D]."""
Recalls = Mapping[str, float]
"""Group of users -> recall; ``all`` is that of all queries."""

MOST_EF, UNTUNED_EF = 4096, 512
UNTUNED_LISTS = 8
"""Without queries, one list in so many is searched."""
AFFORDABLE = 2
"""A group that must look further than so many times what all queries together need does not decide."""
FINE = 50
"""The parameter is found to one part in so many."""
SAME = 1e-6
"""Inner products of unit vectors that differ by less are equal: their float32 sums were taken in another order."""
CHUNK = 1 << 14


def tune(index: Any, kind: str, vectors: Floats, queries: Queries, topk: int, target: float) -> dict[str, Any]:
    """Set the least nprobe (ivf) or efSearch (hnsw) with which each group of ``queries`` reaches ``target``.

    Returns:
        search, recall (of all queries; None if there are none), recall_target, queries (group -> count and recall),
        notices (what falls short of the target).
    """
    if kind == "flat":
        return {"search": {}, "recall": 1.0, "recall_target": target, "queries": {}, "notices": []}
    name, lowest, cap, value = _parameter(index, kind, topk)
    groups = {group: found for group, found in queries.items() if len(found)}
    reached: Recalls = {}
    if groups:
        recalls = _recalls(index, name, vectors, groups, topk)
        value = choose(recalls, target, lowest, cap)
        reached = recalls(value)
    _set(index, name, value)
    return {"search": {name: value}, **_summary(groups, reached, target, f"{name} {value}", topk)}


def measure(index: Any, kind: str, vectors: Floats, queries: Queries, topk: int, target: float) -> dict[str, Any]:
    """What `tune` returns, for a registered index type: it is searched as it was built."""
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
    """Recall of each group and of all as a function of the parameter ``name``; None: there is none to set."""
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
    """Name, lowest, highest and untuned value of what decides how far an index looks."""
    if kind == "ivf":
        lists = int(index.nlist)
        return "nprobe", 1, lists, max(min(lists, UNTUNED_LISTS), lists // UNTUNED_LISTS)
    return "efSearch", topk, max(topk, MOST_EF), max(topk, UNTUNED_EF)


def _set(index: Any, name: str, value: int) -> None:
    import faiss

    faiss.ParameterSpace().set_index_parameter(index, name, value)


def _notices(reached: Recalls, target: float, setting: str, topk: int) -> list[str]:
    if not reached:
        notice = f"serving.ann.recall_target: no events to measure recall on, {setting} is not tuned"
    elif min(reached.values()) < target:
        found = ", ".join(f"{recall:.4f} ({group})" for group, recall in reached.items())
        notice = f"serving.ann.recall_target {target:g}: with {setting} the share found of the exact {topk} is {found}"
    else:
        return []
    log.warning(notice)
    return [notice]


def choose(recalls: Callable[[int], Recalls], target: float, lowest: int, cap: int) -> int:
    """The least value with which each group reaches ``target``, if it is at most ``AFFORDABLE`` times the least for
    all queries together; else the latter; ``cap`` if nothing reaches it."""
    together = least(lambda value: recalls(value)["all"] >= target, lowest, cap)
    if together is None:
        return cap
    most = min(cap, AFFORDABLE * together)
    return least(lambda value: min(recalls(value).values()) >= target, together, most) or together


def least(reaches: Callable[[int], bool], lowest: int, cap: int) -> int | None:
    """The least value that ``reaches``, to one part in ``FINE``; None if ``cap`` does not. Small values are cheap to
    try, so it doubles before it bisects."""
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
    """Share [n] of the exact ``topk`` that the index finds: items whose inner product reaches ``bar`` [n].

    By score, not by row, so that of items with the same vector any one counts.
    """
    _, rows = index.search(queries, topk)
    scores = np.matmul(vectors[np.maximum(rows, 0)], queries[:, :, None])[:, :, 0]
    hits: NDArray[np.float64] = ((scores >= bar[:, None] - SAME) & (rows >= 0)).mean(axis=1)
    return hits


def kth_score(vectors: Floats, queries: Floats, topk: int) -> Floats:
    """The ``topk``-th highest inner product of each query [n] with ``vectors`` [n_items, D], chunk by chunk.

    Several times faster than a flat index: few inner products pass the bar so far, only those are kept and sorted.
    """
    from tqdm import trange

    first = max(CHUNK, topk)
    best = _highest(queries @ vectors[:first].T, topk)
    waiting: list[tuple[NDArray[np.int64], Floats]] = []
    for at in trange(first, len(vectors), CHUNK, desc="exact neighbours", unit="chunk", disable=None):
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
