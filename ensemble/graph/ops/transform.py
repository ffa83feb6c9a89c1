"""Raw user and context columns to model features: the fitted NVTabular workflows, compiled to lookup tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.features import GAP, HISTORY
from ....core.kernel import (
    FLOAT32,
    FLOAT64,
    INT32,
    INT64,
    kernel,
    read,
    write,
)
from ....core.signature import Columns, ColumnSpec, Signature
from ....workflows.history.gaps import gap_codes, times_of
from ....workflows.transforms.codes import (
    MISSING_BY_KIND,
    MISSING_CODE,
    MISSING_INT,
    UNKNOWN_CODE,
    Codes,
    mapped,
    to_front,
)
from ....workflows.transforms.hashing import HashedCodes
from ....workflows.transforms.lookup_tables import load_codes
from .base import Op

Compute = Callable[[list[NDArray[Any]]], NDArray[Any]]
MISSING_ROW, UNKNOWN_ROW = -2, -1


@dataclass
class Transform(Op):
    """All user and context features of a request, and the rows of the items that it must not show.

    ``history_ids``, ``rejected_ids`` and ``exclude_items`` hold raw item ids, padded with the missing value.
    """

    features: list[dict[str, Any]]
    """name, kind, raw (column names), length (lists), for continuous ones fill, mean, std, for hashed ones buckets; in
    schema order."""
    raw: dict[str, list[Any]]
    """Raw column -> dtype, dims."""
    history: int
    """Item codes in the feature ``history``."""
    item_dtype: str = "int64"
    """dtype of raw item ids."""
    gaps: bool = False
    """Whether there is the feature ``history_gap``, from ``history_times``, the seconds beside ``history_ids``."""

    kind: ClassVar[str] = "transform"

    def __post_init__(self) -> None:
        self._compute: dict[str, tuple[Compute, list[str]]] = {}
        self._rows: Codes | None = None
        self._codes = np.zeros(0, np.int32)

    @classmethod
    def compiled(cls, folder: Path) -> Transform:
        """The op for an etl artifact's ``transforms`` folder; ``load`` the same folder, or a copy of it."""
        return cls(**json.loads((folder / "params.json").read_text()))

    @property
    def reads(self) -> Signature:
        dims = {"history_ids": "S", "rejected_ids": "X", "exclude_items": "E"}
        ids = {name: ColumnSpec(self.item_dtype, (dim,)) for name, dim in dims.items()}
        times = {"history_times": ColumnSpec("int64", ("T",))} if self.gaps else {}
        return {**{name: ColumnSpec(dtype, tuple(dims)) for name, (dtype, dims) in self.raw.items()}, **ids, **times}

    @property
    def writes(self) -> Signature:
        specs = {f["name"]: ColumnSpec(_dtype(f), (f.get("length") or 1,)) for f in self.features}
        histories = [HISTORY, GAP] if self.gaps else [HISTORY]
        lists = {name: ColumnSpec("int64", (self.history,)) for name in histories}
        return {**specs, **lists, "seen_rows": ColumnSpec("int64", ("S",))}

    def load(self, folder: Path) -> None:
        """Read the lookup tables that ``cascade.workflows.etl.compile`` wrote."""
        for part in (normalized, combined, to_front, item_lists, times_of, gap_codes):
            part.compile()
        self._compute = {f["name"]: (build(f, folder), f["raw"]) for f in self.features}
        self._rows = load_codes(folder, "item_rows")
        self._codes = mapped(folder / "item_codes.npy").astype(np.int32, copy=False)

    def __call__(self, columns: Columns) -> Columns:
        """Features int64 or float32 [B, length or 1], history and its gaps int64 [B, N], seen_rows int64 [B, S] padded
        with -1."""
        found = {name: compute([columns[raw] for raw in raws]) for name, (compute, raws) in self._compute.items()}
        ids = (columns[name] for name in ("history_ids", "rejected_ids", "exclude_items"))
        return {**found, **self._items(columns["history_times"] if self.gaps else None, *ids)}

    def _items(self, times: NDArray[np.int64] | None, *ids: NDArray[Any]) -> Columns:
        """history with its gaps, and seen_rows of all ``ids``: those of the history, and others, each [B, any number].

        Args:
            times: of the history, [B, any number].
        """
        if self._rows is None:
            raise RuntimeError("Transform: call load() first")
        shown, rejected, excluded = (self._rows(of, MISSING_ROW, UNKNOWN_ROW) for of in ids)
        history = np.empty((len(shown), self.history), np.int64)
        seen = np.empty((len(shown), sum(of.shape[1] for of in ids)), np.int64)
        item_lists(shown, rejected, excluded, self._codes, history, seen)
        gaps = {} if times is None else {GAP: self._gaps(shown, times)}
        return {HISTORY: history, **gaps, "seen_rows": seen}

    def _gaps(self, shown: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes [B, N] of the history's time gaps."""
        seconds, codes = (np.empty((len(shown), self.history), np.int64) for _ in range(2))
        times_of(shown, times, MISSING_ROW, seconds)
        gap_codes(seconds, codes)
        return codes


@kernel((read(INT64, 2), read(INT64, 2), read(INT64, 2), read(INT32, 1), write(INT64, 2), write(INT64, 2)))
def item_lists(
    shown: NDArray[np.int64],
    rejected: NDArray[np.int64],
    excluded: NDArray[np.int64],
    codes: NDArray[np.int32],
    history: NDArray[np.int64],
    seen: NDArray[np.int64],
) -> None:
    """What a model and a filter need to know of the item rows of each user, [B, any number] each.

    Args:
        shown: newest first; MISSING_ROW and UNKNOWN_ROW where there is no row, in the others as well.
        codes: code of each item row.
        history: [B, N], filled with the codes of the first N shown, then 0.
        seen: [B, S], filled with the rows of all, then -1.
    """
    for user in range(len(shown)):
        count = 0
        for row in shown[user, : history.shape[1]]:
            if row != MISSING_ROW:
                history[user, count] = codes[row] if row >= 0 else UNKNOWN_CODE
                count += 1
        history[user, count:] = 0
        count = 0
        for rows in (shown, rejected, excluded):
            for row in rows[user]:
                if row >= 0:
                    seen[user, count] = row
                    count += 1
        seen[user, count:] = -1


def _dtype(feature: dict[str, Any]) -> str:
    return "float32" if feature["kind"] == "continuous" else "int64"


def build(feature: dict[str, Any], folder: Path) -> Compute:
    """The function from a feature's raw columns, each [B, L], to its values [B, length or 1]."""
    if feature["kind"] == "continuous":
        return lambda raw: normalize(raw[0], feature["fill"], feature["mean"], feature["std"])
    if "buckets" in feature:
        return hashed(feature["buckets"], feature["length"])
    if feature["kind"] == "cross":
        parts = [load_codes(folder, f"{feature['name']}.{column}") for column in feature["raw"]]
        pairs = load_codes(folder, feature["name"])
        return lambda raw: cross(raw, parts, pairs, np.array(feature["sizes"]))
    codes = load_codes(folder, feature["name"])
    if feature["length"] is None:
        return lambda raw: codes(raw[0], MISSING_CODE, UNKNOWN_CODE)
    return lambda raw: first_codes(codes(raw[0], -1, UNKNOWN_CODE), feature["length"])


def hashed(buckets: int, length: int | None) -> Compute:
    """``build`` for a column or a combination that has no vocabulary."""
    codes = HashedCodes(buckets)
    codes.compile()
    return codes if length is None else lambda raw: first_codes(codes(raw, -1), length)


def first_codes(codes: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Of codes [B, L], which are negative for missing values, each row's first [B, length], 0 after them."""
    front = np.empty((len(codes), length), np.int64)
    to_front(codes, 0, front)
    return front


def normalize(values: NDArray[Any], fill: float, mean: float, std: float) -> NDArray[np.float32]:
    """FillMedian, then Normalize: in double precision, as NVTabular computes it."""
    numbers = np.empty(values.shape, np.float32)
    # NVTabular only shifts what does not vary, and x / 1 is x.
    scale = std if std > 0 else 1.0
    normalized(values.reshape(-1), MISSING_BY_KIND[values.dtype.kind], fill, mean, scale, numbers.reshape(-1))
    return numbers


@kernel(
    (read(INT64, 1), INT64, FLOAT64, FLOAT64, FLOAT64, write(FLOAT32, 1)),
    (read(FLOAT64, 1), FLOAT64, FLOAT64, FLOAT64, FLOAT64, write(FLOAT32, 1)),
)
def normalized(values: NDArray[Any], gap: Any, fill: float, mean: float, std: float, out: NDArray[np.float32]) -> None:
    """Fill ``out`` [n] with (value - mean) / std; ``fill`` takes the place of the missing value ``gap``."""
    for i, value in enumerate(values):
        number = fill if value == gap or value != value else np.float64(value)
        out[i] = (number - mean) / std


def cross(raw: list[NDArray[Any]], parts: list[Codes], whole: Codes, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Codes [B, 1] of a combination of columns.

    A value missing in some of the columns is a value like any other, as it is for NVTabular; only where all are
    missing the combination is.

    Args:
        parts: number of each column's values: 0 missing, 1 .. known; -1 stands for unknown.
        whole: code of the number that a combination has in the mixed radix ``sizes``.
    """
    numbers = np.empty((len(parts), *raw[0].shape), np.int64)
    for at, (part, column) in enumerate(zip(parts, raw, strict=True)):
        numbers[at] = part(column, 0, -1)
    together = np.empty(raw[0].shape, np.int64)
    combined(numbers.reshape(len(parts), -1), sizes, together.reshape(-1))
    return whole(together, MISSING_CODE, UNKNOWN_CODE)


@kernel((read(INT64, 2), read(INT64, 1), write(INT64, 1)))
def combined(numbers: NDArray[np.int64], sizes: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    """Fill ``out`` [n] with one number for ``numbers`` [parts, n]: missing if all are 0, -1 if one is unknown."""
    for i in range(len(out)):
        together, lowest, highest = 0, 0, 0
        for number, size in zip(numbers[:, i], sizes):  # noqa: B905  (numba has no strict)
            together = together * size + number
            lowest, highest = min(lowest, number), max(highest, number)
        out[i] = -1 if lowest < 0 else (together if highest > 0 else MISSING_INT)
