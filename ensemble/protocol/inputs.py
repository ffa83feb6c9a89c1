"""The inputs that a served model declares, and the check of a value for one of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RequestError
from ...core.signature import ColumnSpec

MISSING: dict[str, Any] = {"int64": np.iinfo(np.int64).min, "float64": float("nan"), "object": None}
"""dtype -> the value that means "missing" in a raw column."""
RANDOM = "random"
LONGEST = 10_000
"""Largest number of values in one row of a list input."""

_seeds = np.random.PCG64()
"""Draws seeds for rows without one. The system is asked for entropy once, not for every request."""


@dataclass(frozen=True)
class Input:
    """One input of the served model, as stored in graph.json."""

    name: str
    dtype: str
    dims: tuple[int | str, ...] = (1,)
    required: bool = False
    default: float | int | str | None = None
    """The value if a request leaves the input out: a number, "random" (one per row), or None for the missing value."""
    minimum: float | None = None
    maximum: float | None = None
    missing: bool = False
    """Whether a row may hold the missing value of the dtype."""
    padding: float | int | None = None
    """What pads rows that are shorter than others in the same pass; None for the missing value of the dtype."""
    longest: int = LONGEST
    """Largest number of values in one row, for list inputs."""

    @cached_property
    def spec(self) -> ColumnSpec:
        return ColumnSpec(self.dtype, tuple(self.dims))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "dims": list(self.dims)}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Input:
        return cls(**{**entry, "dims": tuple(entry["dims"])})

    def filled(self, batch: int) -> NDArray[Any]:
        """The default for ``batch`` rows; list inputs get rows of length 0. The array is shared: do not modify it."""
        if self.default == RANDOM:
            return _seeds.random_raw(batch).astype(self.dtype).reshape(batch, 1)
        return _default(self, batch)

    def widened(self, array: NDArray[Any], width: int) -> NDArray[Any]:
        """``array`` [B, n, ...] padded to [B, width, ...]."""
        if array.shape[1] == width:
            return array
        value = MISSING[self.dtype] if self.padding is None else self.padding
        out = np.full((len(array), width, *array.shape[2:]), value, dtype=self.dtype)
        out[:, : array.shape[1]] = array
        return out

    def check(self, array: NDArray[Any]) -> None:
        """Raise RequestError, naming the input, unless ``array`` [B, *dims] is a valid value of it."""
        if not self.spec.accepts(array):
            raise RequestError(f"{self.name}: expected {self.spec}, got {array.dtype}{list(array.shape)}")
        if array.ndim > 1 and array.shape[1] > self.longest:
            raise RequestError(f"{self.name}: expected at most {self.longest} values for a user, got {array.shape[1]}")
        if self.dtype == "object":
            self._check_strings(array)
        elif self._limited:
            self._check_numbers(array)

    @cached_property
    def _limited(self) -> bool:
        """Whether some values of the dtype are refused."""
        return self.minimum is not None or self.maximum is not None or self.dtype.startswith("float")

    @cached_property
    def _range(self) -> tuple[float, float]:
        return -np.inf if self.minimum is None else self.minimum, np.inf if self.maximum is None else self.maximum

    def _check_strings(self, array: NDArray[Any]) -> None:
        for value in array.ravel():
            if not (isinstance(value, str) and (value or not self.required)) and not (self.missing and value is None):
                raise RequestError(f"{self.name}: expected a string{' or none' * self.missing}, got {value!r}")
            if value and "\0" in value:  # numpy's strings end there, so it would be taken for another value
                raise RequestError(f"{self.name}: expected text without the character NUL, got {value!r}")

    def _check_numbers(self, array: NDArray[Any]) -> None:
        low, high = self._range
        if array.size == 1 and low <= array.item() <= high and math.isfinite(array.item()):
            return  # nearly every request has one user; this takes a tenth of the time of the checks below
        if array.dtype.kind == "f":
            bad = ~np.isfinite(array) & ~(self.missing & np.isnan(array))
            if bad.any():
                found = array[bad][0]
                what = "a number, got NaN" if np.isnan(found) else f"a finite number, got {found}"
                raise RequestError(f"{self.name}: expected {what}")
        outside = (array < low) | (array > high)
        if outside.any():
            raise RequestError(f"{self.name}: expected {_named(low, high)}, got {array[outside][0]}")


@lru_cache(256)
def _default(spec: Input, batch: int) -> NDArray[Any]:
    shape = (batch, *(0 if isinstance(dim, str) else dim for dim in spec.dims))
    value = MISSING[spec.dtype] if spec.default is None else spec.default
    return np.full(shape, value, dtype=spec.dtype)


def _named(low: float, high: float) -> str:
    if high == np.inf:
        return f"at least {low:g}"
    return f"{low:g} to {high:g}"


ARM_INPUT = Input("ask_arm", "object", default="")
"""Text that names an arm, or ``stable``; empty for the arm that the user is in. It has a name of its own, since no
input of an ensemble can have that of an output."""
