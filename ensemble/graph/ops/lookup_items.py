"""The item snapshot of a release: transformed features and vectors by item row."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.errors import ArtifactError
from ....core.features import HISTORY, ascii_name
from ....core.kernel import (
    FLOAT32,
    INT32,
    INT64,
    kernel,
    read,
    write,
)
from ....core.signature import Columns, ColumnSpec, Signature
from ....models.retriever.item_to_item.neighbour_weights import (
    NEIGHBOUR_SCORES,
    NeighbourWeights,
    score_candidates,
)
from ....workflows.history.transitions import (
    TRANSITIONS,
    WIDTH,
    Transitions,
    look_up,
)
from .base import Op
from .onnx_model import Inputs, specs

STORED = {"int64": ("int32", "int64"), "float32": ("float32",)}
"""dtype of a column -> dtypes that its table on disk may have."""


@dataclass
class LookupItems(Op):
    """Look up features and vectors of the candidates.

    candidate_rows int64 [B, K] -> item features [B, K, length] and item_vectors float32 [B, K, dim], 0 for a row of -1.

    Loads ``<feature>.npy`` [items, length] and ``item_vectors.npy`` [items, dim]. They are memory-mapped, so that the
    instances of a server share them; integers may be stored as int32.

    With ``last``, also history int64 [B, history] -> transitions float32 [B, K, WIDTH]: how often each candidate has
    followed the last items of the history, from the files of `Transitions`. With ``decay``, neighbour_scores float32
    [B, K]: the item-item scores of the candidates, from the files of `NeighbourWeights`.
    """

    features: Inputs
    dim: int
    """Length of the item vectors."""
    last: int = 0
    """Number of most recent items for which transitions are looked up; 0 for none."""
    history: int = 0
    """Length of the history."""
    decay: float | None = None
    """See `models.retriever.neighbours.Neighbours`; None for no neighbour_scores."""

    kind: ClassVar[str] = "lookup_items"
    tables: dict[str, NDArray[Any]] = field(init=False, repr=False, compare=False)
    transitions: Transitions | None = field(init=False, repr=False, compare=False, default=None)
    neighbours: NeighbourWeights | None = field(init=False, repr=False, compare=False, default=None)

    @property
    def reads(self) -> Signature:
        candidates = {"candidate_rows": ColumnSpec("int64", ("K",))}
        of_pairs = self.last or self.decay is not None
        return {**candidates, HISTORY: ColumnSpec("int64", (self.history,))} if of_pairs else candidates

    @property
    def writes(self) -> Signature:
        followers = {TRANSITIONS: ColumnSpec("float32", ("K", WIDTH))} if self.last else {}
        neighbours = {NEIGHBOUR_SCORES: ColumnSpec("float32", ("K",))} if self.decay is not None else {}
        return {**self._of_items, **followers, **neighbours}

    @property
    def _of_items(self) -> Signature:
        return specs({**self.features, "item_vectors": ("float32", self.dim)}, "K")

    def load(self, folder: Path) -> None:
        files = {name: folder / f"{ascii_name(name)}.npy" for name in self._of_items}
        self.tables = {name: np.asarray(np.load(file, mmap_mode="r")) for name, file in files.items()}
        shapes = {name: table.shape for name, table in self.tables.items()}
        items = {shape[0] for shape in shapes.values()}
        lengths = {name: (spec.dims[-1],) for name, spec in self._of_items.items()}
        if len(items) != 1 or {name: shape[1:] for name, shape in shapes.items()} != lengths:
            raise ArtifactError(f"item snapshot: expected tables [items, {lengths}], found {shapes}")
        for name, spec in self._of_items.items():
            if (stored := self.tables[name].dtype.name) not in STORED[spec.dtype]:
                raise ArtifactError(f"{name}.npy: expected {' or '.join(STORED[spec.dtype])}, holds {stored}")
        gather.compile()
        if self.last:
            self.transitions = Transitions.open(folder)
            look_up.compile()
        if self.decay is not None:
            self.neighbours = NeighbourWeights.open(folder)
            score_candidates.compile()

    def __call__(self, columns: Columns) -> Columns:
        rows = np.ascontiguousarray(columns["candidate_rows"])
        out = {}
        for name, table in self.tables.items():
            dtype = np.int64 if table.dtype.kind == "i" else np.float32
            out[name] = np.empty((*rows.shape, table.shape[1]), dtype)
            gather(table, rows, out[name])
        if self.transitions:
            out[TRANSITIONS] = self.transitions(columns[HISTORY], rows, self.last)
        if self.neighbours and self.decay is not None:
            out[NEIGHBOUR_SCORES] = self.neighbours.scores(columns[HISTORY], rows, self.decay)
        return out


@kernel(
    (read(INT32, 2), read(INT64, 2), write(INT64, 3)),
    (read(INT64, 2), read(INT64, 2), write(INT64, 3)),
    (read(FLOAT32, 2), read(INT64, 2), write(FLOAT32, 3)),
)
def gather(table: NDArray[Any], rows: NDArray[np.int64], out: NDArray[Any]) -> None:
    """Fill ``out`` [B, K, W] with the ``rows`` [B, K] of ``table`` [N, W], with 0 for a row of -1."""
    for user in range(rows.shape[0]):
        for place in range(rows.shape[1]):
            row = rows[user, place]
            # Element by element: assigning whole rows takes three times as long in numba.
            for column in range(table.shape[1]):
                out[user, place, column] = table[row, column] if row >= 0 else 0
