"""What all lookup tables share: the meaning of codes, missing values, and the interface.

Codes are those of NVTabular's Categorify: 0 padding, 1 missing, 2 out of vocabulary, 3 and up the vocabulary. Missing
raw values are None (object), the smallest int64, or NaN (float64).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.kernel import INT64, kernel, read, write

if TYPE_CHECKING:
    import pyarrow as pa

MISSING_INT = np.iinfo(np.int64).min
MISSING_CODE = 1
UNKNOWN_CODE = 2
FIRST_CODE = 3
"""The first code of a vocabulary, after padding, missing and out of vocabulary."""
DTYPES = {"int": "int64", "float": "float64", "string": "object"}
"""Column kind -> dtype of its raw values."""
MISSING: dict[str, Any] = {"int": MISSING_INT, "float": np.nan, "string": None}
"""Column kind -> its missing value."""
MISSING_BY_KIND: dict[str, Any] = {"i": MISSING_INT, "f": np.nan}
"""numpy dtype kind -> the missing value."""


class Codes(ABC):
    """A lookup table from raw values to whole numbers."""

    @abstractmethod
    def __call__(self, values: NDArray[Any], missing: int, unknown: int) -> NDArray[np.int64]:
        """Codes of ``values``, int64 of the same shape.

        Args:
            missing: the code of a missing value.
            unknown: the code of a value that is not in the table.
        """

    @abstractmethod
    def save(self, folder: Path, name: str) -> None:
        """Write the files that ``lookup_tables.load_codes`` reads."""


def mapped(file: Path) -> NDArray[Any]:
    """A .npy file, memory-mapped, so that the instances of a server share one copy."""
    return np.asarray(np.load(file, mmap_mode="r"))


def raw_array(column: pa.ChunkedArray) -> NDArray[Any]:
    """An Arrow column [n] as a request holds it: missing values are None, the smallest int64, or NaN."""
    import pyarrow as pa

    if pa.types.is_integer(column.type):
        return np.asarray(column.fill_null(MISSING_INT).to_numpy())
    return np.asarray(column.to_numpy(), np.float64 if pa.types.is_floating(column.type) else object)


@kernel((read(INT64, 2), INT64, write(INT64, 2)))
def to_front(values: NDArray[np.int64], fill: int, front: NDArray[np.int64]) -> None:
    """Fill ``front`` [B, N] with the first N values of each row of ``values`` [B, L] that are not negative.

    They keep their order; the rest of the row is ``fill``.
    """
    for row in range(len(values)):
        count = 0
        for value in values[row]:
            if value >= 0 and count < front.shape[1]:
                front[row, count] = value
                count += 1
        front[row, count:] = fill
