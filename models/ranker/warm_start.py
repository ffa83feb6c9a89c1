"""Where the ranker's item embeddings begin: at the retriever's item vectors.

The retriever learns from every positive, the ranker from far fewer; what the former knows of items that go together
need not be learned twice. Queries are not taken over: the retriever knows the answers of events that both learn from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...workflows.transforms.codes import FIRST_CODE
from .._merlin import tf


def start_at(table: Any, codes: NDArray[np.integer[Any]], vectors: NDArray[np.float32]) -> None:
    """Set the rows of an embedding table [cardinality, W] that belong to one item alone; others stay as they are.

    Where W is not D, to the vectors' first W principal axes, which keep their inner products best (Eckart and Young,
    "The approximation of one matrix by another of lower rank", 1936), or beside zeros.

    Args:
        codes: [n_items], code of each item.
        vectors: float32 [n_items, D].
    """
    if not table.built:
        table(tf.zeros([1, 1], tf.int64))
    weights = table.table.embeddings.numpy()
    alone = (np.bincount(codes, minlength=len(weights))[codes] == 1) & (codes >= FIRST_CODE)
    found = fitted(np.asarray(vectors, np.float32), weights.shape[1])
    weights[codes[alone]] = found[alone]
    table.table.embeddings.assign(weights)


def fitted(vectors: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Vectors [n, D] in ``width`` numbers."""
    have = vectors.shape[1]
    if width >= have:
        return np.pad(vectors, ((0, 0), (0, width - have)))
    _, axes = np.linalg.eigh(vectors.T @ vectors)  # ascending
    return np.asarray(vectors @ axes[:, : have - width - 1 : -1], np.float32)
