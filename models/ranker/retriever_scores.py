"""The retriever's own scores of the ranker's candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.artifact import Artifact
from ...core.features import HISTORY
from ..index.stage import VECTORS
from ..onnx.export import run, session
from ..retriever.item_to_item.neighbour_weights import NEIGHBOUR_SCORES
from ..retriever.neighbours import Neighbours
from ..retriever.stage import CHECKPOINT, QUERY
from ..training.rows import Events, user_columns
from .candidates import PAD
from .rows import ValidRows, padded_items

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors

CHUNK = 1024
"""Events scored at once."""


@dataclass(frozen=True)
class RetrieverScores:
    """The retriever's scores: cosines of queries and items, and what the neighbours of the history's items add."""

    query: Any
    """ONNX Runtime session of the query tower."""
    vectors: NDArray[np.float32]
    """[n_items, D]."""
    tensors: Tensors
    neighbours: Neighbours | None = None
    """Fitted on the training part, so that scores of the validation part are out of sample."""

    @classmethod
    def load(cls, parents: Mapping[str, Artifact], tensors: Tensors) -> RetrieverScores:
        """From the two_tower and index artifacts among ``parents``."""
        vectors, towers = np.load(parents["index"].path / VECTORS, mmap_mode="r"), parents["two_tower"].path
        return cls(session(towers / QUERY), vectors, tensors, Neighbours.load(towers / CHECKPOINT))

    def columns(self, events: Events, items: NDArray[np.integer[Any]]) -> dict[str, NDArray[np.float32]]:
        """The inputs of `score_fusion.Ranker`: query [n, D] and item_vectors [n, K, D] for item rows [n, K], and
        neighbour_scores [n, K] if there are neighbours."""
        found = {"query": run(self.query, user_columns(self.tensors, events)), "item_vectors": self.vectors[items]}
        if self.neighbours:
            found[NEIGHBOUR_SCORES] = self.neighbours.at(np.asarray(events.moment[HISTORY]), items)
        return found

    def __call__(self, rows: ValidRows) -> NDArray[np.float32]:
        """Scores [n, K]; -inf where there is no candidate."""
        found = [np.zeros((0, rows.candidates.shape[1]), np.float32)]
        for at in range(0, len(rows.events), CHUNK):
            part = np.arange(at, min(at + CHUNK, len(rows.events)))
            columns = self.columns(rows.events.take(part), padded_items(rows.candidates[part]))
            cosine = np.einsum("nd,nkd->nk", columns["query"], columns["item_vectors"])
            found.append(cosine + columns.get(NEIGHBOUR_SCORES, np.float32(0)))
        return np.where(rows.candidates == PAD, -np.inf, np.concatenate(found))
