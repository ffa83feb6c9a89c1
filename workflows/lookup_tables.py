"""Fitted transforms as data: numpy lookups that give what NVTabular 23.8 gives, bit for bit.

Codes are Categorify's: 0 padding, 1 missing, 2 out of vocabulary, 3 and up the vocabulary. Missing raw values are
None (object), the smallest int64, or NaN (float64).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING_INT = np.iinfo(np.int64).min
MISSING_CODE = 1
UNKNOWN_CODE = 2
NOT_FOUND = np.int64(-1)


def is_missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of ``values`` (object, int64 or float64, any shape) are missing."""
    if values.dtype == object:
        return np.asarray(values == None, bool)  # noqa: E711  (element by element)
    return np.isnan(values) if values.dtype.kind == "f" else np.asarray(values == MISSING_INT)


class Codes(ABC):
    """From raw values to whole numbers."""

    @abstractmethod
    def __call__(self, values: NDArray[Any], missing: int, unknown: int) -> NDArray[np.int64]:
        """Codes of ``values``, int64 of the same shape; ``missing`` and ``unknown`` stand for what has none."""

    @abstractmethod
    def save(self, folder: Path, name: str) -> None: ...

    @staticmethod
    def load(folder: Path, name: str) -> Codes:
        """What ``save`` wrote."""
        if (file := folder / f"{name}.json").is_file():
            return TextCodes({value: int(code) for value, code in json.loads(file.read_text())})
        return NumberCodes(np.load(folder / f"{name}.values.npy"), np.load(folder / f"{name}.codes.npy"))


class TextCodes(Codes):
    """Codes of strings, as a hash table: no width to cut a string to, no order to search."""

    def __init__(self, table: dict[str, int]) -> None:
        self.table = table

    def __call__(self, values: NDArray[Any], missing: int, unknown: int) -> NDArray[np.int64]:
        table = self.table
        codes = [missing if value is None else table.get(value, unknown) for value in values.ravel().tolist()]
        return np.array(codes, np.int64).reshape(values.shape)

    def save(self, folder: Path, name: str) -> None:
        (folder / f"{name}.json").write_text(json.dumps(list(self.table.items())))


class NumberCodes(Codes):
    """Codes of int64 or float64 values.

    Args:
        values: [n], any order.
        codes: [n].
    """

    def __init__(self, values: NDArray[Any], codes: NDArray[np.int64]) -> None:
        order = np.argsort(values, kind="stable")
        self.values, self.codes = values[order], codes[order].astype(np.int64)
        self._dense = _dense(self.values, self.codes)

    def __call__(self, values: NDArray[Any], missing: int, unknown: int) -> NDArray[np.int64]:
        codes = self._found(values)
        lost = codes < 0
        if lost.any():
            codes[lost] = np.where(is_missing(values[lost]), missing, unknown)
        return codes

    def _found(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Codes, NOT_FOUND where there is none."""
        if len(self.values) == 0:
            return np.full(values.shape, NOT_FOUND)
        if self._dense is not None:
            low, high = int(self.values[0]) - 1, int(self.values[-1]) + 1
            return np.asarray(self._dense[np.minimum(np.maximum(values, low), high) - low])
        place = np.minimum(np.searchsorted(self.values, values), len(self.values) - 1)
        return np.where(self.values[place] == values, self.codes[place], NOT_FOUND)

    def save(self, folder: Path, name: str) -> None:
        np.save(folder / f"{name}.values.npy", self.values)
        np.save(folder / f"{name}.codes.npy", self.codes)


def _dense(values: NDArray[Any], codes: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The codes of all whole numbers from one below the lowest of sorted ``values`` to one above the highest.

    None where that would be large for what is in it: ids that are not roughly consecutive.
    """
    if len(values) == 0 or values.dtype.kind != "i":
        return None
    low, high = int(values[0]) - 1, int(values[-1]) + 1
    if high - low > 8 * len(values) + 1024 or low < MISSING_INT or high > -MISSING_INT - 1:
        return None
    dense = np.full(high - low + 1, NOT_FOUND)
    dense[values - low] = codes
    return dense


def codes_for(values: Sequence[str] | NDArray[Any], codes: NDArray[np.int64]) -> Codes:
    """Codes of distinct values without a missing one: strings, or numbers as an int64 or float64 array."""
    if isinstance(values, np.ndarray):
        return NumberCodes(values, codes)
    return TextCodes(dict(zip(values, codes.tolist(), strict=True)))


def to_front(values: NDArray[Any], keep: NDArray[np.bool_], fill: int, width: int | None = None) -> NDArray[Any]:
    """The kept values of each row moved to its front, in order, ``fill`` after them.

    Args:
        values: [B, L].
        keep: [B, L].
        width: columns of the result; by default as many as the fullest row needs.
    """
    count = keep.sum(axis=1, keepdims=True)
    longest = int(count.max(initial=0))
    if width is not None and longest > width:
        keep = keep & (keep.cumsum(axis=1) <= width)
    front = np.full((len(values), longest if width is None else width), fill, values.dtype)
    front[np.arange(front.shape[1]) < count] = values[keep]  # both masks go through their rows in order
    return front
