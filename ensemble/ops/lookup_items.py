"""The release's snapshot of the items: transformed features and vectors, by item row."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ArtifactError
from ...core.signature import Columns, ColumnSpec, Signature
from .base import Op
from .onnx_model import Inputs, specs


@dataclass
class LookupItems(Op):
    """candidate_rows int64 [B, K] -> item features [B, K, length] and item_vectors float32 [B, K, dim].

    Loads ``<feature>.npy`` [items, length] and ``item_vectors.npy`` [items, dim], memory-mapped, so that the
    instances of a server share them. Zeros where a candidate is -1.
    """

    features: Inputs
    dim: int

    kind: ClassVar[str] = "lookup_items"
    tables: dict[str, NDArray[Any]] = field(init=False, repr=False, compare=False)

    @property
    def reads(self) -> Signature:
        return {"candidate_rows": ColumnSpec("int64", ("K",))}

    @property
    def writes(self) -> Signature:
        return specs({**self.features, "item_vectors": ("float32", self.dim)}, "K")

    def load(self, folder: Path) -> None:
        self.tables = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in self.writes}
        shapes = {name: table.shape for name, table in self.tables.items()}
        items = {shape[0] for shape in shapes.values()}
        lengths = {name: (spec.dims[-1],) for name, spec in self.writes.items()}
        if len(items) != 1 or {name: shape[1:] for name, shape in shapes.items()} != lengths:
            raise ArtifactError(f"item snapshot: expected tables [items, {lengths}], found {shapes}")

    def __call__(self, columns: Columns) -> Columns:
        rows = columns["candidate_rows"]
        absent = rows < 0
        at = np.where(absent, 0, rows)
        out = {}
        for name, spec in self.writes.items():
            values = self.tables[name][at].astype(spec.dtype, copy=False)
            values[absent] = 0
            out[name] = values
        return out
