"""Codes of numbers: a dense table where the values are close together, else sorted arrays."""

from __future__ import annotations

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
from .codes import MISSING_BY_KIND, MISSING_INT, Codes, mapped

NOT_FOUND = -1


class DenseCodes(Codes):
    """Codes of roughly consecutive int64 values.

    Args:
        first: the lowest value.
        table: int32 [n], the codes of ``first``, ``first`` + 1, ...; -1 for a value without a code.
    """

    def __init__(self, first: int, table: NDArray[np.int32]) -> None:
        self.first, self.table = first, table

    @classmethod
    def load(cls, folder: Path, name: str) -> DenseCodes:
        """Map the files that ``save`` wrote."""
        find_dense.compile()
        return cls(int(np.load(folder / f"{name}.first.npy")), mapped(folder / f"{name}.dense.npy"))

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
        gap = MISSING_BY_KIND[values.dtype.kind]
        find_sorted(values.reshape(-1), gap, self.values, self.codes, missing, unknown, codes.reshape(-1))
        return codes

    def save(self, folder: Path, name: str) -> None:
        np.save(folder / f"{name}.values.npy", self.values)
        np.save(folder / f"{name}.codes.npy", self.codes)


def number_codes(values: NDArray[Any], codes: NDArray[Any]) -> Codes:
    """Codes [n] of ascending values [n]; a dense table if it is at most 8 entries per value (and 1024 more)."""
    codes = codes.astype(np.int32, copy=False)
    if len(values) == 0 or values.dtype.kind != "i":
        return SortedCodes(values, codes)
    first, span = int(values[0]), int(values[-1]) - int(values[0]) + 1
    if span > 8 * len(values) + 1024:
        return SortedCodes(values, codes)
    dense = np.full(span, NOT_FOUND, np.int32)
    dense[values - first] = codes
    return DenseCodes(first, dense)


def load_number_codes(folder: Path, name: str) -> Codes:
    """Map the files that a table of numbers has saved; afterwards no kernel needs compiling."""
    if (folder / f"{name}.dense.npy").is_file():
        return DenseCodes.load(folder, name)
    for part in (find_dense, find_sorted):
        part.compile()
    return number_codes(mapped(folder / f"{name}.values.npy"), mapped(folder / f"{name}.codes.npy"))


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
