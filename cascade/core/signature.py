"""Column signatures: dtypes and shapes of the columns that an op reads and writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import WiringError
from .suggest import closest

Columns = Mapping[str, NDArray[Any]]
"""Named arrays, batch first: every array has shape [B, ...]."""


@dataclass(frozen=True)
class ColumnSpec:
    """dtype and dimensions of a column.

    ``dtype`` is a numpy dtype name; ``"object"`` holds python ``str`` or None.
    ``dims`` excludes the batch axis; an int is a fixed size, a str such as ``"K"`` names a size that varies.
    """

    dtype: str
    dims: tuple[int | str, ...] = (1,)

    def accepts(self, array: NDArray[Any]) -> bool:
        """Whether ``array`` [B, ...] has this dtype, rank and these fixed sizes."""
        if array.dtype != self._numpy or array.ndim != 1 + len(self.dims):
            return False
        if array.shape[1:] == self.dims:
            return True
        sizes = zip(self.dims, array.shape[1:], strict=True)
        return all(isinstance(want, str) or want == got for want, got in sizes)

    @cached_property
    def _numpy(self) -> np.dtype[Any]:
        return np.dtype(self.dtype)

    def fits(self, other: ColumnSpec) -> bool:
        """Whether a column that is written as ``self`` can be read as ``other``."""
        sizes = zip(self.dims, other.dims, strict=False)
        return (
            self.dtype == other.dtype
            and len(self.dims) == len(other.dims)
            and all(isinstance(a, str) or isinstance(b, str) or a == b for a, b in sizes)
        )

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(['B', *map(str, self.dims)])}]"


Signature = Mapping[str, ColumnSpec]


def check_wiring(step: str, reads: Signature, have: Signature) -> None:
    """Check, when the graph is built, that every column that ``step`` reads exists and fits.

    Raises:
        WiringError: naming the step, the column, what was expected and what was found.
    """
    for column, spec in reads.items():
        if column not in have or not have[column].fits(spec):
            found = have[column] if column in have else f"no such column; {columns_text(column, have)}"
            raise WiringError(f"{step}: reads {column} as {spec}, has {found}")


def columns_text(missing: str, have: Signature) -> str:
    """On one line, which columns there are instead of the missing one, the most similar name first."""
    near = closest(missing, have)
    columns = ", ".join(f"{name} {spec}" for name, spec in have.items())
    return f"{f'did you mean {near!r}? ' if near else ''}columns at this point: {columns or 'none'}"
