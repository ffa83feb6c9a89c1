"""Tables of a release that have a row for each item, for another catalogue."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ...core.disk import check_space
from .changes import CatalogueChanges

CHUNK = 1 << 16
"""Rows copied at once."""


def renewed_table(old: Path, values: NDArray[Any], changes: CatalogueChanges, file: Path) -> Path:
    """Write a table [m, ...]: rows of the table before, and the ``values`` [r, ...] of the renewed items.

    Args:
        old: .npy file [n, ...].
        values: in the order of the new catalogue.
        file: where to write it.

    Returns:
        ``file``.
    """
    before = np.load(old, mmap_mode="r")
    shape = (len(changes.old_row), *before.shape[1:])
    check_space(file, math.prod(shape) * before.itemsize)
    place = np.cumsum(changes.renewed) - 1
    with file.open("wb") as out:  # not mapped, so that what is written is not held in memory
        npy.write_array_header_1_0(out, {"descr": before.dtype.str, "fortran_order": False, "shape": shape})  # type: ignore[no-untyped-call]
        for at in range(0, len(changes.old_row), CHUNK):
            chunk = slice(at, at + CHUNK)
            fresh = changes.renewed[chunk]
            rows = np.empty((len(fresh), *shape[1:]), before.dtype)
            rows[~fresh] = _read(old, before, changes.old_row[chunk][~fresh])
            rows[fresh] = values[place[chunk][fresh]]
            out.write(rows.tobytes())
    return file


def _read(file: Path, table: np.memmap[Any, Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """The ``rows`` of a table, ascending, read from its file, because mapped pages would stay in memory."""
    if not len(rows):
        return np.zeros((0, *table.shape[1:]), table.dtype)
    first, width = int(rows[0]), math.prod(table.shape[1:])
    count, start = (int(rows[-1]) - first + 1) * width, table.offset + first * width * table.itemsize
    found = np.fromfile(file, table.dtype, count, offset=start)
    kept: NDArray[Any] = found.reshape(-1, *table.shape[1:])[rows - first]
    return kept
