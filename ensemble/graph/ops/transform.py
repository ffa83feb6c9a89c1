"""From raw user and context columns to model features, by the lookup tables of the ETL's fitted workflows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.features import GAP, HISTORY
from ....core.files import read_json
from ....core.kernel import (
    INT32,
    INT64,
    kernel,
    read,
    write,
)
from ....core.signature import Columns, ColumnSpec, Signature
from ....workflows.history.gaps import gap_codes, times_of
from ....workflows.tables.validate import LARGEST_DENSE
from ....workflows.transforms.codes import (
    UNKNOWN_CODE,
    Codes,
    mapped,
    to_front,
)
from ....workflows.transforms.lookup_tables import load_codes
from .base import Op
from .compiled_features import Compute, combined, load_feature, normalized, scale_of

MISSING_ROW, UNKNOWN_ROW = -2, -1
"""Item rows of a missing id and of an id that the catalogue does not have."""


@dataclass
class Transform(Op):
    """Compute the user and context features of a request, and the rows of the items that must not be recommended.

    These are the items of the history, unless ``keep_seen``, the rejected and the excluded ones.

    Features are int64 or float32 [B, length or 1], ``history`` and ``history_gap`` int64 [B, N], ``seen_rows`` int64
    [B, S] padded with -1. ``history_ids``, ``rejected_ids`` and ``exclude_items`` are raw item ids [B, any number],
    padded with the missing value.
    """

    features: list[dict[str, Any]]
    """In schema order, each with name, kind, raw (column names) and length (of lists); continuous features also with
    fill, mean and std, hashed ones with buckets."""
    raw: dict[str, list[Any]]
    """Raw column -> dtype, dims."""
    history: int
    """Length N of the feature ``history``."""
    item_dtype: str = "int64"
    """dtype of raw item ids."""
    gaps: bool = False
    """Whether to compute the feature ``history_gap`` from ``history_times``, the seconds of ``history_ids``."""
    keep_seen: bool = False
    """Whether items of the history may be recommended again."""

    kind: ClassVar[str] = "transform"

    def __post_init__(self) -> None:
        self._features: dict[str, tuple[Compute, list[str]]] = {}
        self._rows: Codes | None = None
        self._codes = np.zeros(0, np.int32)

    @classmethod
    def compiled(cls, folder: Path) -> Transform:
        """The op for an etl artifact's ``transforms`` folder; ``load`` the same folder, or a copy of it."""
        return cls(**read_json(folder / "request.params"))

    @property
    def reads(self) -> Signature:
        dims = {"history_ids": "S", "rejected_ids": "X", "exclude_items": "E"}
        ids = {name: ColumnSpec(self.item_dtype, (dim,)) for name, dim in dims.items()}
        times = {"history_times": ColumnSpec("int64", ("T",))} if self.gaps else {}
        return {**{name: ColumnSpec(dtype, tuple(dims)) for name, (dtype, dims) in self.raw.items()}, **ids, **times}

    @property
    def limits(self) -> dict[str, tuple[float, float]]:
        """Raw column of a continuous feature -> the least and the largest value that the models can calculate with."""
        found = {}
        for feature in self.features:
            if feature["kind"] == "continuous":
                mean, reach = feature["mean"], LARGEST_DENSE * scale_of(feature["std"])
                found[feature["raw"][0]] = (max(mean - reach, -LARGEST_DENSE), min(mean + reach, LARGEST_DENSE))
        return found

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
        self._features = {f["name"]: (load_feature(f, folder), f["raw"]) for f in self.features}
        self._rows = load_codes(folder, "item_rows")
        self._codes = mapped(folder / "item_codes.npy").astype(np.int32, copy=False)

    def __call__(self, columns: Columns) -> Columns:
        found = {name: compute([columns[raw] for raw in raws]) for name, (compute, raws) in self._features.items()}
        ids = (columns[name] for name in ("history_ids", "rejected_ids", "exclude_items"))
        return {**found, **self._items(columns["history_times"] if self.gaps else None, *ids)}

    def _items(self, times: NDArray[np.int64] | None, *ids: NDArray[Any]) -> Columns:
        """The history with its gaps, and ``seen_rows``.

        Args:
            times: seconds of the history, [B, any number]; None without gaps.
            ids: of the history, of rejected and of excluded items.
        """
        if self._rows is None:
            raise RuntimeError("Transform: call load() first")
        shown, rejected, excluded = (self._rows(of, MISSING_ROW, UNKNOWN_ROW) for of in ids)
        history = np.empty((len(shown), self.history), np.int64)
        dropped = np.concatenate([rejected, excluded] if self.keep_seen else [shown, rejected, excluded], axis=1)
        seen = np.empty_like(dropped)
        item_lists(shown, dropped, self._codes, history, seen)
        gaps = {} if times is None else {GAP: self._gaps(shown, times)}
        return {HISTORY: history, **gaps, "seen_rows": seen}

    def _gaps(self, shown: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes [B, N] of the time gaps in the history."""
        seconds, codes = (np.empty((len(shown), self.history), np.int64) for _ in range(2))
        times_of(shown, times, MISSING_ROW, seconds)
        gap_codes(seconds, codes)
        return codes


@kernel((read(INT64, 2), read(INT64, 2), read(INT32, 1), write(INT64, 2), write(INT64, 2)))
def item_lists(
    shown: NDArray[np.int64],
    dropped: NDArray[np.int64],
    codes: NDArray[np.int32],
    history: NDArray[np.int64],
    seen: NDArray[np.int64],
) -> None:
    """Fill the history that the models read, and the rows that the filter drops.

    Args:
        shown: item rows of the history, [B, any number], newest first; MISSING_ROW or UNKNOWN_ROW for ids without one.
        dropped: rows [B, S] of items that must not be recommended, likewise, in any order.
        codes: code of each item row.
        history: [B, N], filled with the codes of the first N of ``shown``, then 0.
        seen: [B, S], filled with the rows of ``dropped``, then -1.
    """
    for user in range(len(shown)):
        count = 0
        for row in shown[user, : history.shape[1]]:
            if row != MISSING_ROW:
                history[user, count] = codes[row] if row >= 0 else UNKNOWN_CODE
                count += 1
        history[user, count:] = 0
        count = 0
        for row in dropped[user]:
            if row >= 0:
                seen[user, count] = row
                count += 1
        seen[user, count:] = -1


def _dtype(feature: dict[str, Any]) -> str:
    return "float32" if feature["kind"] == "continuous" else "int64"
