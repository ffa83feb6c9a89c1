"""The query tower: user and context to a vector."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ....core.signature import Columns, ColumnSpec, Signature
from .base import Op
from .onnx_model import Inputs, OnnxModel, specs

MAX_USERS = 256
"""Users in one call of the model."""


@dataclass
class EncodeQuery(Op):
    """User and context features -> query float32 [B, dim]. Loads ``query_tower.onnx``."""

    inputs: Inputs
    dim: int

    kind: ClassVar[str] = "encode_query"
    model: OnnxModel = field(init=False, repr=False, compare=False)

    @property
    def reads(self) -> Signature:
        return specs(self.inputs)

    @property
    def writes(self) -> Signature:
        return {"query": ColumnSpec("float32", (self.dim,))}

    def load(self, folder: Path) -> None:
        self.model = OnnxModel(folder / "query_tower.onnx", self.inputs, "query", MAX_USERS)

    def __call__(self, columns: Columns) -> Columns:
        batch = len(columns[next(iter(self.inputs))])
        return {"query": self.model(columns, batch, (self.dim,))}
