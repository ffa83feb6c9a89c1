"""Whether the index of a release finds what an exact search finds, and can find every item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ensemble.graph.executor import Executor
from ...ensemble.graph.ops import LookupItems, Retrieve
from ...models.index.tuning import kth_score
from ..config import GatesConfig
from .mapped_pages import let_go
from .verdict import GateVerdict, judged, unknown

QUERIES, FEWEST = 1000, 250
"""Queries, and items as queries, that the index is measured with; 1,000 give the recall to about one percent."""
PAIRS = 300_000_000
"""Of a query and an item that are compared for it: larger catalogues are measured with fewer queries."""
BATCH = 64
"""Queries searched at once."""
CLOSE = 1e-5
"""Difference of two scores, as a share of the larger one, that may come from the order of a sum."""
NAME = "index"


@dataclass(frozen=True)
class IndexMeasures:
    """What was measured of an index."""

    recall: float | None
    """Share of the exact nearest items that it finds, mean over the requests; None without requests."""
    tried: int
    """Items whose own vectors were searched for, and that an exact search finds with them."""
    lost: int
    """Those of them that the index does not find."""


def table_sizes(executor: Executor) -> dict[str, int]:
    """Number of items in each file of a release that has a row for each item."""
    ops: Mapping[str, Any] = {node.op.kind: node.op for node in executor.nodes}
    sizes = {f"{name}.npy": len(table) for name, table in ops[LookupItems.kind].tables.items()}
    return {"index": ops[Retrieve.kind].index.ntotal, "item_ids.npy": len(ops["respond"].item_ids), **sizes}


def measure_index(executor: Executor, queries: NDArray[np.float32], seed: int) -> IndexMeasures:
    """Compare the index with an exact search in the item vectors of the same release.

    Args:
        queries: float32 [U, D], of requests; of many, some are drawn.
    """
    ops: Mapping[str, Any] = {node.op.kind: node.op for node in executor.nodes}
    retrieve = ops[Retrieve.kind]
    vectors = np.asarray(ops[LookupItems.kind].tables["item_vectors"], np.float32)
    rng, most = np.random.default_rng(seed), max(FEWEST, min(QUERIES, PAIRS // len(vectors)))
    recall = None
    if len(queries):
        some = queries[rng.permutation(len(queries))[:most]]
        found, best, _ = _compare(retrieve, vectors, some)
        recall = float((found / best).mean())
    items = rng.permutation(len(vectors))[:most]
    exact, own = _compare(retrieve, vectors, vectors[items], items)[2]
    return IndexMeasures(recall, int(exact.sum()), int((exact & ~own).sum()))


def index_verdict(measures: IndexMeasures, config: GatesConfig) -> GateVerdict:
    """Figures: ``recall`` of the exact nearest items, ``items_lost`` of ``items_tried`` as in `IndexMeasures`."""
    lost_share = measures.lost / max(measures.tried, 1)
    figures = {"recall": measures.recall, "items_tried": measures.tried, "items_lost": measures.lost}
    faults = []
    if measures.recall is not None and not measures.recall >= config.min_index_recall:
        faults.append(
            f"the index finds {measures.recall:.1%} of the exact nearest items, expected "
            f"{config.min_index_recall:.1%}; it may be of other vectors"
        )
    if lost_share > 1 - config.min_index_recall:
        faults.append(f"{measures.lost:,} of {measures.tried:,} items are not found by their own vectors")
    if faults or measures.recall is not None:
        return judged(NAME, faults, f"finds {measures.recall or 0:.1%} of the exact nearest items", figures)
    return unknown(NAME, "there is nobody to ask", figures)


def _compare(
    retrieve: Retrieve, vectors: NDArray[np.float32], queries: NDArray[np.float32], own: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """For Q queries: how many of the exact nearest items the index finds [Q], how many there are [Q], and of the item
    ``own`` [Q] of each query, whether the exact search finds it, and whether the index does, bool [Q] each."""
    nearest = min(retrieve.topk, len(vectors))
    last = kth_score(vectors, queries, nearest)
    bar = last - CLOSE * np.abs(last)
    parts = []
    for start in range(0, len(queries), BATCH):
        batch = slice(start, start + BATCH)
        some = np.ascontiguousarray(queries[batch])
        nothing_seen = np.full((len(some), 1), -1, np.int64)
        found = retrieve({"query": some, "seen_rows": nothing_seen})["retrieved_rows"]
        valid = (found >= 0) & (found < len(vectors))
        scores = np.matmul(vectors[np.where(valid, found, 0)], some[:, :, None])[:, :, 0]
        hits = (valid & (scores >= bar[batch, None])).sum(axis=1)
        mine = np.zeros(len(some), np.int64) if own is None else own[batch]
        exact = np.einsum("qd,qd->q", some, vectors[mine]) >= bar[batch]
        parts.append((np.minimum(hits, nearest), exact, (found == mine[:, None]).any(axis=1)))
    let_go()
    hits, exact, by_index = (np.concatenate(column) for column in zip(*parts, strict=True))
    return hits, np.full(len(hits), nearest), (exact, by_index)
