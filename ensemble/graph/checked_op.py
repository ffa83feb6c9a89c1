"""Checks what registered ops write: other ops read item rows without bounds checks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import WiringError
from ...core.registry import naming, registered
from ...core.signature import Columns, ColumnSpec, Signature
from .ops import OPS, LookupItems
from .ops.base import Op

ROWS = ("retrieved_rows", "candidate_rows", "ranked_rows")
"""Columns of item rows; -1 is no item."""


class CheckedOp(Op):
    """A registered op whose columns are checked after each call.

    Args:
        n_items: number of items of the release; None if this graph does not hold the items.
    """

    def __init__(self, op: Op, n_items: int | None) -> None:
        self.op, self.n_items = op, n_items

    def __getattr__(self, name: str) -> Any:
        """The op's own attributes, ``kind`` among them."""
        return getattr(self.__dict__["op"], name)

    @property
    def reads(self) -> Signature:
        return self.op.reads

    @property
    def writes(self) -> Signature:
        return self.op.writes

    def params(self) -> dict[str, Any]:
        return self.op.params()

    def load(self, folder: Path) -> None:
        self.op.load(folder)

    def __call__(self, columns: Columns) -> Columns:
        """Call the op.

        Raises:
            WiringError: naming the op and the column, which is missing, has another dtype or shape than declared, or
                holds rows that are no items.
            ConfigError: naming the op, in place of an exception that it raises.
        """
        with naming("op", self.kind):
            written = self.op(columns)
        if not isinstance(written, Mapping):
            raise WiringError(f"op {self.kind!r}: expected a mapping of columns, got {type(written).__name__}")
        size = next((len(column) for column in columns.values()), None)
        for name, spec in self.writes.items():
            self._check(name, spec, written.get(name), size)
        return {name: written[name] for name in self.writes}

    def _check(self, name: str, spec: ColumnSpec, array: Any, size: int | None) -> None:
        if not isinstance(array, np.ndarray) or not spec.accepts(array) or size not in (None, len(array)):
            raise WiringError(f"op {self.kind!r}: declares {name} as {spec}, B = {size}, wrote {_text(array)}")
        if name not in ROWS or not array.size:
            return
        low, high = int(array.min()), int(array.max())
        if low < -1 or (self.n_items is not None and high >= self.n_items):
            last = "the last item row" if self.n_items is None else self.n_items - 1
            raise WiringError(f"op {self.kind!r}: expected {name} from -1 to {last}, wrote {low} to {high}")


def with_checks(ops: Mapping[str, Op]) -> dict[str, Op]:
    """``ops`` (name -> loaded op) with the registered ones checked; built-in ops stay as they are."""
    n_items = next((_n_items(op) for op in ops.values() if isinstance(op, LookupItems)), None)
    others = {op.kind for op in ops.values()} - {*OPS}
    extra = others & {*registered("op")} if others else set()
    return {name: CheckedOp(op, n_items) if op.kind in extra else op for name, op in ops.items()}


def _n_items(op: LookupItems) -> int | None:
    return next((len(table) for table in getattr(op, "tables", {}).values()), None)


def _text(array: Any) -> str:
    if isinstance(array, np.ndarray):
        return f"{array.dtype}{list(array.shape)}"
    return "nothing" if array is None else type(array).__name__
