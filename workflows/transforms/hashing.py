"""Codes by hash: a column, or a combination of columns, in a fixed number of buckets without a vocabulary.

Feature hashing: Weinberger et al., "Feature hashing for large scale multitask learning", 2009. ETL and request path
call the same kernels. A value has the same code in every fit; a value not seen in training shares a bucket with others.

Numbers are hashed by the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014), text by FNV-1a (Fowler, Noll and Vo) of its UTF-8 bytes and then that finalizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.kernel import (
    INT64,
    UINT8,
    inner,
    kernel,
    read,
    write,
)
from .codes import FIRST_CODE, MISSING_CODE, MISSING_INT
from .text_tables import MISSING_LENGTH, as_utf8


class HashedCodes:
    """Codes FIRST_CODE .. FIRST_CODE + ``buckets`` - 1 of values, or of combinations of values.

    They start where a vocabulary would, so that padding, missing and out of vocabulary keep their codes.

    Raw values are int64, float64 or str; missing ones are the smallest int64, NaN or None. A combination is missing
    only if all of its columns are; otherwise a missing value counts as one more value.
    """

    def __init__(self, buckets: int) -> None:
        self.buckets = buckets

    @staticmethod
    def compile() -> None:
        """Compile the kernels, so that no request waits for it."""
        for part in (add_numbers, add_text, to_buckets):
            part.compile()

    def __call__(self, columns: Sequence[NDArray[Any]], missing: int = MISSING_CODE) -> NDArray[np.int64]:
        """Codes of a column, or of the combination of several; int64, in the shape that each of ``columns`` has.

        Args:
            missing: the code of a missing value.
        """
        shape = columns[0].shape
        hashes, found = np.zeros(columns[0].size, np.int64), np.zeros(columns[0].size, np.int64)
        for column in columns:
            if column.dtype == object:
                add_text(*as_utf8(column.ravel().tolist()), hashes, found)
            else:
                add_numbers(bits(column).reshape(-1), hashes, found)
        codes = np.empty(shape, np.int64)
        to_buckets(hashes, found, self.buckets, missing, codes.reshape(-1))
        return codes


def bits(column: NDArray[Any]) -> NDArray[np.int64]:
    """Integers unchanged, floats by their bits: equal numbers give equal bits (-0.0 is 0.0), NaN gives MISSING_INT."""
    if column.dtype.kind == "i":
        return np.ascontiguousarray(column, np.int64)
    numbers = np.ascontiguousarray(column, np.float64) + 0.0
    return np.where(np.isnan(numbers), MISSING_INT, numbers.view(np.int64))


@kernel((read(INT64, 1), write(INT64, 1), write(INT64, 1)))
def add_numbers(values: NDArray[np.int64], hashes: NDArray[np.int64], found: NDArray[np.int64]) -> None:
    """Add a column [n] to the ``hashes`` [n] of the columns before it; ``found`` [n] counts values not missing."""
    for i, value in enumerate(values):
        found[i] += value != MISSING_INT
        hashes[i] = _joined(hashes[i], _mixed(np.uint64(value)))


@kernel((read(UINT8, 1), read(INT64, 1), write(INT64, 1), write(INT64, 1)))
def add_text(
    text: NDArray[np.uint8], lengths: NDArray[np.int64], hashes: NDArray[np.int64], found: NDArray[np.int64]
) -> None:
    """``add_numbers`` for strings: their bytes ``text``, one after the other, and ``lengths`` [n]."""
    start = 0
    for i, length in enumerate(lengths):
        present = length != MISSING_LENGTH
        value = np.uint64(0xCBF29CE484222325)
        for at in range(start, start + length if present else start):
            value = (value ^ np.uint64(text[at])) * np.uint64(0x100000001B3)
        start += length if present else 0
        found[i] += present
        hashes[i] = _joined(hashes[i], _mixed(value if present else np.uint64(MISSING_INT)))


@kernel((read(INT64, 1), read(INT64, 1), INT64, INT64, write(INT64, 1)))
def to_buckets(
    hashes: NDArray[np.int64], found: NDArray[np.int64], buckets: int, missing: int, out: NDArray[np.int64]
) -> None:
    """Fill ``out`` [n] with the codes of ``hashes`` [n]; ``missing`` where ``found`` is 0."""
    for i in range(len(out)):
        bucket = np.uint64(hashes[i]) % np.uint64(buckets)
        out[i] = FIRST_CODE + np.int64(bucket) if found[i] else missing


@inner()
def _joined(before: int, value: Any) -> Any:
    """The hash of the columns so far and one more; the order of columns matters."""
    return np.int64(_mixed(np.uint64(before) * np.uint64(0x9E3779B97F4A7C15) + value + np.uint64(0x9E3779B97F4A7C15)))


@inner()
def _mixed(value: Any) -> Any:
    """The finalizer of SplitMix64, uint64 to uint64."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
