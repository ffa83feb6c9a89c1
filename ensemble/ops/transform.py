"""Raw user and context columns to model features: the fitted NVTabular workflows, compiled to lookup tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...core.signature import Columns, ColumnSpec, Signature
from ...workflows.lookup_tables import MISSING_CODE, UNKNOWN_CODE, Codes, is_missing, to_front
from .base import Op

Compute = Callable[[list[NDArray[Any]]], NDArray[Any]]


@dataclass
class Transform(Op):
    """All user and context features of a request, and the rows of the items that it must not show.

    ``history_ids``, ``rejected_ids`` and ``exclude_items`` hold raw item ids, padded with the missing value.
    """

    features: list[dict[str, Any]]
    """name, kind, raw (column names), length (lists), and for continuous ones fill, mean, std; in schema order."""
    raw: dict[str, list[Any]]
    """Raw column -> dtype, dims."""
    history: int
    """Item codes in the feature ``history``."""
    item_dtype: str = "int64"
    """dtype of raw item ids."""

    kind: ClassVar[str] = "transform"

    def __post_init__(self) -> None:
        self._compute: dict[str, Compute] = {}
        self._rows: Codes | None = None
        self._codes = np.zeros(0, np.int64)

    @classmethod
    def compiled(cls, folder: Path) -> Transform:
        """The op for an etl artifact's ``transforms`` folder; ``load`` the same folder, or a copy of it."""
        return cls(**json.loads((folder / "params.json").read_text()))

    @property
    def reads(self) -> Signature:
        dims = {"history_ids": "S", "rejected_ids": "X", "exclude_items": "E"}
        ids = {name: ColumnSpec(self.item_dtype, (dim,)) for name, dim in dims.items()}
        return {**{name: ColumnSpec(dtype, tuple(dims)) for name, (dtype, dims) in self.raw.items()}, **ids}

    @property
    def writes(self) -> Signature:
        specs = {f["name"]: ColumnSpec(_dtype(f), (f.get("length") or 1,)) for f in self.features}
        return {**specs, "history": ColumnSpec("int64", (self.history,)), "seen_rows": ColumnSpec("int64", ("S",))}

    def load(self, folder: Path) -> None:
        """Read the lookup tables that ``cascade.workflows.compile`` wrote."""
        self._compute = {f["name"]: build(f, folder) for f in self.features}
        self._rows = Codes.load(folder, "item_rows")
        self._codes = np.load(folder / "item_codes.npy").astype(np.int64)

    def __call__(self, columns: Columns) -> Columns:
        """Features int64 or float32 [B, length or 1], history int64 [B, N], seen_rows int64 [B, S] padded with -1."""
        found = {f["name"]: self._compute[f["name"]]([columns[name] for name in f["raw"]]) for f in self.features}
        return {**found, **self._items(*(columns[name] for name in ("history_ids", "rejected_ids", "exclude_items")))}

    def _items(self, history_ids: NDArray[Any], *others: NDArray[Any]) -> Columns:
        """history, and seen_rows of ``history_ids`` and ``others`` together."""
        if self._rows is None:
            raise RuntimeError("Transform: call load() first")
        history = self._rows(history_ids[:, : self.history], -2, -1)
        codes = np.where(history >= 0, self._codes[np.maximum(history, 0)], UNKNOWN_CODE)
        rows = self._rows(np.concatenate([history_ids, *others], axis=1), -1, -1)
        return {"history": to_front(codes, history != -2, 0, self.history), "seen_rows": to_front(rows, rows >= 0, -1)}


def _dtype(feature: dict[str, Any]) -> str:
    return "float32" if feature["kind"] == "continuous" else "int64"


def build(feature: dict[str, Any], folder: Path) -> Compute:
    """The function from a feature's raw columns, each [B, L], to its values [B, length or 1]."""
    if feature["kind"] == "continuous":
        return lambda raw: normalize(raw[0], feature["fill"], feature["mean"], feature["std"])
    if feature["kind"] == "cross":
        parts = [Codes.load(folder, f"{feature['name']}.{column}") for column in feature["raw"]]
        pairs = Codes.load(folder, feature["name"])
        return lambda raw: cross(raw, parts, pairs, feature["sizes"])
    codes = Codes.load(folder, feature["name"])
    if feature["length"] is None:
        return lambda raw: codes(raw[0], MISSING_CODE, UNKNOWN_CODE)
    return lambda raw: to_front(codes(raw[0], 0, UNKNOWN_CODE), ~is_missing(raw[0]), 0, feature["length"])


def normalize(values: NDArray[Any], fill: float, mean: float, std: float) -> NDArray[np.float32]:
    """FillMedian, then Normalize: in double precision, as NVTabular computes it."""
    numbers = np.where(is_missing(values), fill, values.astype(np.float64)) - mean
    return np.asarray((numbers / std if std > 0 else numbers).astype(np.float32))


def cross(raw: list[NDArray[Any]], parts: list[Codes], whole: Codes, sizes: list[int]) -> NDArray[np.int64]:
    """Codes [B, 1] of a combination of columns.

    A value missing in some of the columns is a value like any other, as it is for NVTabular; only where all are
    missing the combination is.

    Args:
        parts: number of each column's values: 0 missing, 1 .. known; -1 stands for unknown.
        whole: code of the number that a combination has in the mixed radix ``sizes``.
    """
    numbers = [part(column, 0, -1) for part, column in zip(parts, raw, strict=True)]
    combined = np.zeros_like(numbers[0])
    for number, size in zip(numbers, sizes, strict=True):
        combined = combined * size + number
    codes = whole(combined, UNKNOWN_CODE, UNKNOWN_CODE)
    lowest, highest = np.min(numbers, axis=0), np.max(numbers, axis=0)
    return np.where(lowest < 0, UNKNOWN_CODE, np.where(highest == 0, MISSING_CODE, codes))
