"""The retriever's own scores of the ranker's candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.artifact import Artifact
from ..index.stage import VECTORS
from ..onnx.export import run, session
from ..retriever.stage import QUERY
from ..training.rows import Events, user_columns
from .candidates import PAD
from .rows import ValidRows, padded_items

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors

CHUNK = 1024
"""Events scored at once."""


@dataclass(frozen=True)
class RetrieverScores:
    """Cosines of queries and items, from the exported query tower and the item vectors of the index."""

    query: Any
    """ONNX Runtime session of the query tower."""
    vectors: NDArray[np.float32]
    """[n_items, D]."""
    tensors: Tensors

    @classmethod
    def load(cls, parents: Mapping[str, Artifact], tensors: Tensors) -> RetrieverScores:
        """From the two_tower and index artifacts among ``parents``."""
        vectors = np.load(parents["index"].path / VECTORS, mmap_mode="r")
        return cls(session(parents["two_tower"].path / QUERY), vectors, tensors)

    def columns(self, events: Events, items: NDArray[np.integer[Any]]) -> dict[str, NDArray[np.float32]]:
        """The inputs of `score_fusion.Ranker`: query [n, D] and item_vectors [n, K, D] for item rows [n, K]."""
        return {"query": run(self.query, user_columns(self.tensors, events)), "item_vectors": self.vectors[items]}

    def __call__(self, rows: ValidRows) -> NDArray[np.float32]:
        """Cosines [n, K]; -inf where there is no candidate."""
        found = [np.zeros((0, rows.candidates.shape[1]), np.float32)]
        for at in range(0, len(rows.events), CHUNK):
            part = np.arange(at, min(at + CHUNK, len(rows.events)))
            columns = self.columns(rows.events.take(part), padded_items(rows.candidates[part]))
            found.append(np.einsum("nd,nkd->nk", columns["query"], columns["item_vectors"]))
        return np.where(rows.candidates == PAD, -np.inf, np.concatenate(found))
