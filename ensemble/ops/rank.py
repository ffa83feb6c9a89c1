"""The ranker: how likely is each candidate."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...core.signature import Columns, ColumnSpec, Signature
from .base import Op
from .onnx_model import Inputs, OnnxModel, specs


@dataclass
class Rank(Op):
    """User and context features [B, length], item features [B, K, length], candidate_rows int64 [B, K]
    -> logits float32 [B, K], -inf where there is no candidate. Loads ``ranker.onnx``.
    """

    user_inputs: Inputs
    """User and context features."""
    item_inputs: Inputs

    kind: ClassVar[str] = "rank"
    model: OnnxModel = field(init=False, repr=False, compare=False)

    @property
    def reads(self) -> Signature:
        candidates = {"candidate_rows": ColumnSpec("int64", ("K",))}
        return {**specs(self.user_inputs), **specs(self.item_inputs, "K"), **candidates}

    @property
    def writes(self) -> Signature:
        return {"logits": ColumnSpec("float32", ("K",))}

    def load(self, folder: Path) -> None:
        self.model = OnnxModel(folder / "ranker.onnx", [*self.user_inputs, *self.item_inputs], "logits")

    def __call__(self, columns: Columns) -> Columns:
        rows = columns["candidate_rows"]
        logits = self.model(columns, len(rows), rows.shape[1:])
        return {"logits": np.where(rows < 0, np.float32(-np.inf), logits)}
