"""Filling an index with other vectors, without training it again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tuning import Queries, tune
from .vector_index import add_all, build_index, every_core, list_count, resolve

MOST_GROWTH = 2
"""Largest factor between the number of lists that an index has and the number that it would be built with now."""


def refill_index(
    old: Any, vectors: NDArray[np.float32], kind: str, queries: Queries, topk: int, recall_target: float
) -> tuple[Any, dict[str, Any]]:
    """An index of ``vectors`` that is like ``old``, an index of most of them.

    Of an ivf index, the centroids and ``nprobe`` stay, so vectors that have not changed are found as before. ``nprobe``
    is tuned only if the recall is below the target now. Other types, and a catalogue that has grown or shrunk much, are
    built anew.

    Args:
        old: FAISS index; it is emptied.
        vectors, kind, queries, topk, recall_target: as in `build_index`.

    Returns:
        as `build_index`.
    """
    count = len(vectors)
    if resolve(kind, count)[0].removeprefix("gpu_") != "ivf" or not _fits(old, count, vectors.shape[1]):
        return build_index(vectors, kind, queries, topk, recall_target)
    with every_core():
        nprobe = int(old.nprobe)
        old.reset()
        add_all(old, vectors)
        found = tune(old, "ivf", vectors, queries, min(topk, count), recall_target, nprobe)
    return old, {"type": "ivf", "metric": "inner_product", "items": count, **found}


def _fits(index: Any, count: int, dim: int) -> bool:
    """Whether an index is ivf, with about as many lists as it would be built with for ``count`` vectors."""
    import faiss

    index = faiss.downcast_index(index)
    if not isinstance(index, faiss.IndexIVF) or index.d != dim:
        return False
    return bool(1 / MOST_GROWTH <= index.nlist / list_count(count) <= MOST_GROWTH)
