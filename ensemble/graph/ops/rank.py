"""The ranker: a logit for each candidate."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from ....core.signature import Columns, ColumnSpec, Signature
from ....models.retriever.item_to_item.neighbour_weights import NEIGHBOUR_SCORES
from .base import Op
from .onnx_model import Inputs, OnnxModel, specs

MAX_USERS = 8
"""Users in one call of the model."""


@dataclass
class Rank(Op):
    """Score the candidates. Loads ``ranker.onnx``.

    User and context features [B, length], item features [B, K, length], candidate_rows int64 [B, K] and, with
    ``neighbours``, neighbour_scores float32 [B, K]
    -> logits float32 [B, K], -inf for a candidate row of -1.
    """

    user_inputs: Inputs
    """Inputs [B, length]: user and context features."""
    item_inputs: Inputs
    """Inputs [B, K, length]: features of the candidates."""
    neighbours: bool = False
    """Whether the model reads the candidates' item-item scores."""

    kind: ClassVar[str] = "rank"
    model: OnnxModel = field(init=False, repr=False, compare=False)

    @property
    def reads(self) -> Signature:
        candidates = {"candidate_rows": ColumnSpec("int64", ("K",))}
        return {**specs(self.user_inputs), **specs(self.item_inputs, "K"), **self._of_neighbours, **candidates}

    @property
    def _of_neighbours(self) -> Signature:
        return {NEIGHBOUR_SCORES: ColumnSpec("float32", ("K",))} if self.neighbours else {}

    @property
    def writes(self) -> Signature:
        return {"logits": ColumnSpec("float32", ("K",))}

    def load(self, folder: Path) -> None:
        inputs = [*self.user_inputs, *self.item_inputs, *self._of_neighbours]
        self.model = OnnxModel(folder / "ranker.onnx", inputs, "logits", MAX_USERS)

    def __call__(self, columns: Columns) -> Columns:
        rows = columns["candidate_rows"]
        logits = self.model(columns, len(rows), rows.shape[1:])
        np.putmask(logits, rows < 0, np.float32(-np.inf))
        return {"logits": logits}
