"""What a request may hold, and the check of it where it enters."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RequestError
from ..core.signature import Columns, ColumnSpec

MISSING: dict[str, Any] = {"int64": np.iinfo(np.int64).min, "float64": float("nan"), "object": None}
"""dtype -> what stands for a missing raw value."""
RANDOM = "random"
LONGEST = 10_000
"""Most values of one row of an input whose length varies."""


@dataclass(frozen=True)
class Input:
    """One input of the served model, as graph.json holds it."""

    name: str
    dtype: str
    dims: tuple[int | str, ...] = (1,)
    required: bool = False
    default: float | int | str | None = None
    """What fills an input that a request leaves out: a number, "random" (one per row), or None: missing."""
    minimum: float | None = None
    maximum: float | None = None
    missing: bool = False
    """Whether a row may hold the dtype's missing value."""

    @property
    def spec(self) -> ColumnSpec:
        return ColumnSpec(self.dtype, tuple(self.dims))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "dims": list(self.dims)}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Input:
        return cls(**{**entry, "dims": tuple(entry["dims"])})

    def filled(self, batch: int) -> NDArray[Any]:
        """The default for ``batch`` rows; no values at all where the length varies."""
        shape = (batch, *(0 if isinstance(dim, str) else dim for dim in self.dims))
        if self.default == RANDOM:
            return np.array([[secrets.randbits(63)] for _ in range(batch)], dtype=self.dtype)
        value = MISSING[self.dtype] if self.default is None else self.default
        return np.full(shape, value, dtype=self.dtype)

    def check(self, array: NDArray[Any]) -> None:
        """Raise RequestError unless ``array`` [B, *dims] can be answered."""
        if not self.spec.accepts(array):
            raise RequestError(f"{self.name}: expected {self.spec}, got {array.dtype}{list(array.shape)}")
        if array.ndim > 1 and array.shape[1] > LONGEST:
            raise RequestError(f"{self.name}: expected at most {LONGEST} values for a user, got {array.shape[1]}")
        if self.dtype == "object":
            self._check_strings(array)
        else:
            self._check_numbers(array)

    def _check_strings(self, array: NDArray[Any]) -> None:
        for value in array.ravel():
            if not (isinstance(value, str) and (value or not self.required)) and not (self.missing and value is None):
                raise RequestError(f"{self.name}: expected a string{' or none' * self.missing}, got {value!r}")

    def _check_numbers(self, array: NDArray[Any]) -> None:
        if array.dtype.kind == "f":
            bad = ~np.isfinite(array) & ~(self.missing & np.isnan(array))
            if bad.any():
                raise RequestError(f"{self.name}: expected a finite number, got {array[bad][0]}")
        low = -np.inf if self.minimum is None else self.minimum
        high = np.inf if self.maximum is None else self.maximum
        outside = (array < low) | (array > high)
        if outside.any():
            raise RequestError(f"{self.name}: expected {_range(low, high)}, got {array[outside][0]}")


def accept(columns: Columns, inputs: Sequence[Input], max_users: int) -> dict[str, NDArray[Any]]:
    """Check a request and fill in what it leaves out.

    Raises:
        RequestError: naming the input, what was expected and what came.
    """
    known = {spec.name: spec for spec in inputs}
    for name in columns:
        if name not in known:
            raise RequestError(f"{name}: no input of that name; there are {', '.join(known)}")
    for spec in inputs:
        if spec.required and spec.name not in columns:
            raise RequestError(f"{spec.name}: is required, and missing")
    first = next(spec.name for spec in inputs if spec.required)
    batch = len(columns[first]) if columns[first].ndim else 0
    if not 1 <= batch <= max_users:
        raise RequestError(f"{first}: expected 1 to {max_users} users in one call, got {batch}")
    for name, array in columns.items():
        known[name].check(array)
        if len(array) != batch:
            raise RequestError(f"{name}: expected {batch} rows as in {first}, got {len(array)}")
    return {spec.name: columns[spec.name] if spec.name in columns else spec.filled(batch) for spec in inputs}


def _range(low: float, high: float) -> str:
    if high == np.inf:
        return f"at least {low:g}"
    return f"{low:g} to {high:g}"
