"""Where the ranker's embeddings begin: at the retriever's item vectors, and if asked for anew in each epoch.

Warm start: the retriever learns from every positive, the ranker from far fewer, so its item embeddings begin at the
retriever's item vectors. Query vectors are not taken over: the retriever was trained on the ranker's training events
and knows their answers.

Reset: an embedding that sees the few events of its id a second time already knows their labels, and the layers above
come to trust it, so click models get worse from the second or third epoch on. With new embeddings in each epoch the
layers learn only what holds for any of them. Fan et al., "Multi-epoch learning with data augmentation for deep
click-through rate prediction", 2024 (MEDA). The moving average of the weights, which is what is kept, mixes the
embeddings of several epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...workflows.transforms.codes import FIRST_CODE
from .._merlin import tf
from ..layers.feature_vectors import INITIAL


@dataclass(frozen=True)
class EmbeddingReset:
    """Draws new embeddings for ``tables``, from the seed and the epoch, so that a resumed training draws the same.

    Args:
        tables: Merlin embedding tables, built.
        then: sets the rows that do not begin at random.
    """

    tables: Sequence[Any]
    seed: int
    then: Callable[[], None]

    def __call__(self, epoch: int) -> None:
        """Called before the first step of ``epoch``."""
        for number, table in enumerate(self.tables):
            embeddings = table.table.embeddings
            drawn = np.random.default_rng([self.seed, epoch, number]).random(embeddings.shape, np.float32)
            embeddings.assign(INITIAL * (2 * drawn - 1))
        self.then()


def warm_start(table: Any, codes: NDArray[np.integer[Any]], vectors: NDArray[np.float32]) -> None:
    """Set the rows of an embedding table [cardinality, W] to the vectors of their items.

    Rows that stand for several items, or for none, stay as they are.

    Args:
        codes: int [n_items], the row of each item.
        vectors: float32 [n_items, D]; see `fitted` where D is not W.
    """
    if not table.built:
        table(tf.zeros([1, 1], tf.int64))
    weights = table.table.embeddings.numpy()
    single = (np.bincount(codes, minlength=len(weights))[codes] == 1) & (codes >= FIRST_CODE)
    found = fitted(np.asarray(vectors, np.float32), weights.shape[1])
    weights[codes[single]] = found[single]
    table.table.embeddings.assign(weights)


def fitted(vectors: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Vectors [n, D] in ``width`` numbers: padded with zeros, or projected onto their first principal axes.

    The projection keeps inner products best: Eckart and Young, "The approximation of one matrix by another of lower
    rank", 1936.
    """
    have = vectors.shape[1]
    if width >= have:
        return np.pad(vectors, ((0, 0), (0, width - have)))
    _, axes = np.linalg.eigh(vectors.T @ vectors)  # ascending
    return np.asarray(vectors @ axes[:, : have - width - 1 : -1], np.float32)
