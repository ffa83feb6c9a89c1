"""Fitted transforms as data: numpy lookups that give what NVTabular 23.8 gives, bit for bit.

Codes are Categorify's: 0 padding, 1 missing, 2 out of vocabulary, 3 and up the vocabulary. Missing raw values are
None (object), the smallest int64, or NaN (float64). Tables of numbers are memory-mapped, so that the instances of a
server share one copy and load at once.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.kernel import (
    FLOAT64,
    INT32,
    INT64,
    kernel,
    read,
    write,
)

MISSING_INT = np.iinfo(np.int64).min
MISSING_CODE = 1
UNKNOWN_CODE = 2
FIRST_CODE = 3
"""Where a vocabulary's codes begin: after padding, missing and out of vocabulary."""
NOT_FOUND = -1
GAPS: dict[str, Any] = {"i": MISSING_INT, "f": np.nan}
"""dtype kind -> the missing value."""


class Codes(ABC):
    """From raw values to whole numbers."""

    @abstractmethod
    def __call__(self, values: NDArray[Any], missing: int, unknown: int) -> NDArray[np.int64]:
        """Codes of ``values``, int64 of the same shape; ``missing`` and ``unknown`` stand for what has none."""

    @abstractmethod
    def save(self, folder: Path, name: str) -> None: ...

    @staticmethod
    def load(folder: Path, name: str) -> Codes:
        """What ``save`` wrote; afterwards no kernel needs compiling."""
        from .text_tables import MappedText

        if (file := folder / f"{name}.json").is_file():
            return TextCodes({value: int(code) for value, code in json.loads(file.read_text())})
        if (folder / f"{name}.text.npy").is_file():
            return MappedText.load_tables(folder, name)
        if (folder / f"{name}.dense.npy").is_file():
            find_dense.compile()
            return DenseCodes(int(np.load(folder / f"{name}.first.npy")), mapped(folder / f"{name}.dense.npy"))
        for part in (find_dense, find_sorted):
            part.compile()
        return _number_codes(mapped(folder / f"{name}.values.npy"), mapped(folder / f"{name}.codes.npy"))


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


class DenseCodes(Codes):
    """Codes of roughly consecutive int64 values.

    Args:
        first: the lowest value.
        table: int32 [n], the codes of ``first``, ``first`` + 1, ..; -1 where there is none.
    """

    def __init__(self, first: int, table: NDArray[np.int32]) -> None:
        self.first, self.table = first, table

    def __call__(self, values: NDArray[Any], missing: int, unknown: int) -> NDArray[np.int64]:
        codes = np.empty(values.shape, np.int64)
        find_dense(values.reshape(-1), self.first, self.table, missing, unknown, codes.reshape(-1))
        return codes

    def save(self, folder: Path, name: str) -> None:
        np.save(folder / f"{name}.dense.npy", self.table)
        np.save(folder / f"{name}.first.npy", np.int64(self.first))


class SortedCodes(Codes):
    """Codes of int64 or float64 values.

    Args:
        values: [n], ascending.
        codes: int32 [n].
    """

    def __init__(self, values: NDArray[Any], codes: NDArray[np.int32]) -> None:
        self.values, self.codes = values, codes

    def __call__(self, values: NDArray[Any], missing: int, unknown: int) -> NDArray[np.int64]:
        codes = np.empty(values.shape, np.int64)
        gap = GAPS[values.dtype.kind]
        find_sorted(values.reshape(-1), gap, self.values, self.codes, missing, unknown, codes.reshape(-1))
        return codes

    def save(self, folder: Path, name: str) -> None:
        np.save(folder / f"{name}.values.npy", self.values)
        np.save(folder / f"{name}.codes.npy", self.codes)


def codes_for(values: Sequence[str] | NDArray[Any], codes: NDArray[np.int64]) -> Codes:
    """Codes of distinct values without a missing one: strings, or numbers as an int64 or float64 array."""
    from .text_tables import MAPPED_FROM, MappedText

    if isinstance(values, np.ndarray):
        numbers = values.astype(np.float64 if values.dtype.kind == "f" else np.int64, copy=False)
        order = np.argsort(numbers, kind="stable")
        return _number_codes(numbers[order], codes[order])
    if len(values) >= MAPPED_FROM:
        return MappedText.of(values, codes)
    return TextCodes(dict(zip(values, codes.tolist(), strict=True)))


def _number_codes(values: NDArray[Any], codes: NDArray[Any]) -> Codes:
    """Codes of sorted values; dense where the table is not large for what is in it."""
    codes = codes.astype(np.int32, copy=False)
    if len(values) == 0 or values.dtype.kind != "i":
        return SortedCodes(values, codes)
    first, span = int(values[0]), int(values[-1]) - int(values[0]) + 1
    if span > 8 * len(values) + 1024:
        return SortedCodes(values, codes)
    dense = np.full(span, NOT_FOUND, np.int32)
    dense[values - first] = codes
    return DenseCodes(first, dense)


def mapped(file: Path) -> NDArray[Any]:
    """A .npy file, memory-mapped."""
    return np.asarray(np.load(file, mmap_mode="r"))


@kernel((read(INT64, 1), INT64, read(INT32, 1), INT64, INT64, write(INT64, 1)))
def find_dense(
    values: NDArray[Any], first: int, table: NDArray[np.int32], missing: int, unknown: int, out: NDArray[np.int64]
) -> None:
    """Fill ``out`` [n] with the codes of ``values`` [n]."""
    for i, value in enumerate(values):
        out[i] = missing if value == MISSING_INT else unknown
        # Compared in this way because ``value - first`` may overflow.
        if first <= value <= first + (len(table) - 1) and table[value - first] >= 0:
            out[i] = table[value - first]


@kernel(
    (read(INT64, 1), INT64, read(INT64, 1), read(INT32, 1), INT64, INT64, write(INT64, 1)),
    (read(FLOAT64, 1), FLOAT64, read(FLOAT64, 1), read(INT32, 1), INT64, INT64, write(INT64, 1)),
)
def find_sorted(
    values: NDArray[Any],
    gap: Any,
    known: NDArray[Any],
    codes: NDArray[np.int32],
    missing: int,
    unknown: int,
    out: NDArray[np.int64],
) -> None:
    """Fill ``out`` [n] with the codes of ``values`` [n] by binary search; ``gap`` is the missing value."""
    for i, value in enumerate(values):
        low, high = 0, len(known)
        while low < high:
            middle = (low + high) // 2
            if known[middle] < value:
                low = middle + 1
            else:
                high = middle
        if low < len(known) and known[low] == value:
            out[i] = codes[low]
        else:
            out[i] = missing if value == gap or value != value else unknown


@kernel((read(INT64, 2), INT64, write(INT64, 2)))
def to_front(values: NDArray[np.int64], fill: int, front: NDArray[np.int64]) -> None:
    """Fill ``front`` [B, N] with the first N values of each row of ``values`` [B, L] that are not negative.

    They keep their order; ``fill`` comes after them.
    """
    for row in range(len(values)):
        count = 0
        for value in values[row]:
            if value >= 0 and count < front.shape[1]:
                front[row, count] = value
                count += 1
        front[row, count:] = fill
