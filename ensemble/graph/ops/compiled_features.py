"""Features from raw columns, computed from lookup tables as the fitted NVTabular workflows would compute them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.features import ascii_name
from ....core.kernel import FLOAT32, FLOAT64, INT64, kernel, read, write
from ....workflows.transforms.codes import (
    MISSING_BY_KIND,
    MISSING_CODE,
    MISSING_INT,
    UNKNOWN_CODE,
    Codes,
    to_front,
)
from ....workflows.transforms.hashing import HashedCodes
from ....workflows.transforms.lookup_tables import load_codes

Compute = Callable[[list[NDArray[Any]]], NDArray[Any]]
"""From the raw columns of a feature, [B, L] each, to its values [B, length or 1]."""


def load_feature(feature: dict[str, Any], folder: Path) -> Compute:
    """The function that computes a feature.

    Args:
        feature: its entry in request.params.
        folder: the etl artifact's ``transforms`` folder, which holds the lookup tables.
    """
    if feature["kind"] == "continuous":
        return lambda raw: normalize(raw[0], feature["fill"], feature["mean"], feature["std"])
    if "buckets" in feature:
        return hashed(feature["buckets"], feature["length"])
    file = ascii_name(feature["name"])
    if feature["kind"] == "cross":
        parts = [load_codes(folder, f"{file}.{ascii_name(column)}") for column in feature["raw"]]
        pairs = load_codes(folder, file)
        return lambda raw: cross(raw, parts, pairs, np.array(feature["sizes"]))
    codes = load_codes(folder, file)
    if feature["length"] is None:
        return lambda raw: codes(raw[0], MISSING_CODE, UNKNOWN_CODE)
    return lambda raw: first_codes(codes(raw[0], -1, UNKNOWN_CODE), feature["length"])


def hashed(buckets: int, length: int | None) -> Compute:
    """The function of a hashed column or combination, which needs no lookup table."""
    codes = HashedCodes(buckets)
    codes.compile()
    return codes if length is None else lambda raw: first_codes(codes(raw, -1), length)


def first_codes(codes: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """The first codes of each row [B, length], padded with 0, from [B, L] with negative codes for missing values."""
    front = np.empty((len(codes), length), np.int64)
    to_front(codes, 0, front)
    return front


def normalize(values: NDArray[Any], fill: float, mean: float, std: float) -> NDArray[np.float32]:
    """FillMedian, then Normalize, in double precision as in NVTabular; values [B, 1] to float32 [B, 1]."""
    numbers = np.empty(values.shape, np.float32)
    gap = MISSING_BY_KIND[values.dtype.kind]
    normalized(values.reshape(-1), gap, fill, mean, scale_of(std), numbers.reshape(-1))
    return numbers


def scale_of(std: float) -> float:
    """What NVTabular divides by: it does not scale a column without variation, and x / 1 is exactly x."""
    return std if std > 0 else 1.0


@kernel(
    (read(INT64, 1), INT64, FLOAT64, FLOAT64, FLOAT64, write(FLOAT32, 1)),
    (read(FLOAT64, 1), FLOAT64, FLOAT64, FLOAT64, FLOAT64, write(FLOAT32, 1)),
)
def normalized(
    values: NDArray[Any], missing: Any, fill: float, mean: float, std: float, out: NDArray[np.float32]
) -> None:
    """Fill ``out`` [n] with (value - mean) / std, where ``fill`` replaces NaN and the value ``missing``."""
    for i, value in enumerate(values):
        number = fill if value == missing or value != value else np.float64(value)
        out[i] = (number - mean) / std


def cross(raw: list[NDArray[Any]], parts: list[Codes], whole: Codes, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Codes [B, 1] of a combination of columns.

    As in NVTabular, a combination is missing only if all of its columns are; otherwise a missing value counts as one
    more value of its column.

    Args:
        raw: the columns, [B, 1] each.
        parts: for each column, the number of a value: 0 if missing, 1, 2, ... if known, -1 if unknown.
        whole: the code of a combination, looked up by its number in the mixed radix ``sizes``.
    """
    numbers = np.empty((len(parts), *raw[0].shape), np.int64)
    for at, (part, column) in enumerate(zip(parts, raw, strict=True)):
        numbers[at] = part(column, 0, -1)
    together = np.empty(raw[0].shape, np.int64)
    combined(numbers.reshape(len(parts), -1), sizes, together.reshape(-1))
    return whole(together, MISSING_CODE, UNKNOWN_CODE)


@kernel((read(INT64, 2), read(INT64, 1), write(INT64, 1)))
def combined(numbers: NDArray[np.int64], sizes: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    """Fill ``out`` [n] with the mixed-radix number of ``numbers`` [parts, n]: missing if all are 0, -1 if one is -1."""
    for i in range(len(out)):
        together, lowest, highest = 0, 0, 0
        for number, size in zip(numbers[:, i], sizes):  # noqa: B905  (numba has no strict)
            together = together * size + number
            lowest, highest = min(lowest, number), max(highest, number)
        out[i] = -1 if lowest < 0 else (together if highest > 0 else MISSING_INT)
