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
from ..retriever.stage import CHECKPOINT, QUERY, of_training_part
from ..training.rows import Events, user_columns
from .candidates import PAD
from .rows import ValidRows, padded_items

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors

CHUNK = 128
"""Events scored at once: the vectors of 200 candidates of each take 20 MB."""


@dataclass(frozen=True)
class RetrieverScores:
    """The retriever's scores: cosines of queries and items, and what the neighbours of the history's items add."""

    query: Any
    """ONNX Runtime session of the query tower."""
    vectors: NDArray[np.float32]
    """[n_items, D]."""
    tensors: Tensors
    neighbours: Neighbours | None = None

    @classmethod
    def of_training_part(cls, parents: Mapping[str, Artifact], tensors: Tensors) -> RetrieverScores:
        """Of the two_tower and index artifacts among ``parents``, as far as they know the training part alone."""
        towers, index = parents["two_tower"].path, parents["index"].path
        vectors, neighbours = of_training_part(index, VECTORS), Neighbours.load(towers / CHECKPOINT)
        query = session(of_training_part(towers, QUERY))
        return cls(query, np.load(vectors, mmap_mode="r"), tensors, neighbours)

    @classmethod
    def served(cls, parents: Mapping[str, Artifact], tensors: Tensors) -> RetrieverScores:
        """Of the two_tower and index artifacts among ``parents``, as they are served."""
        towers, vectors = parents["two_tower"].path, np.load(parents["index"].path / VECTORS, mmap_mode="r")
        return cls(session(towers / QUERY), vectors, tensors, Neighbours.load(towers))

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
