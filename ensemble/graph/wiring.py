"""The wiring of a graph: which op reads which column, and how long a column is needed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ...core.errors import WiringError
from ...core.signature import Columns, ColumnSpec, Signature, check_wiring, columns_text
from .ops.base import Op


@dataclass(frozen=True)
class Node:
    """An op in a graph."""

    name: str
    op: Op
    reads: tuple[str, ...]
    drops: frozenset[str]
    """The columns that no later op reads or writes."""

    @property
    def stage(self) -> str:
        return self.op.kind


def nodes_of(ops: Mapping[str, Op]) -> tuple[Node, ...]:
    """The nodes of a graph whose ``ops`` (name -> op) run in this order."""
    nodes: list[Node] = []
    later: set[str] = set()
    for name, op in reversed(list(ops.items())):
        own = {*op.reads, *op.writes}
        nodes.append(Node(name, op, tuple(op.reads), frozenset(own - later)))
        later |= own
    return tuple(reversed(nodes))


def wire(inputs: Signature, ops: Mapping[str, Op], outputs: Collection[str]) -> dict[str, ColumnSpec]:
    """Check that every op finds the columns that it reads.

    An op may replace a column that it reads, as transforms replace raw values by codes.

    Returns:
        the signature of all columns; of a column that is replaced, the last one.

    Raises:
        WiringError: if an op or an output finds no column, or one of another dtype or rank.
    """
    columns = dict(inputs)
    for name, op in ops.items():
        check_wiring(name, op.reads, columns)
        for column in op.writes:
            if column in columns and column not in op.reads:
                raise WiringError(f"{name}: writes {column}, which exists already, and does not read it")
        columns.update(op.writes)
    for column in outputs:
        if column not in columns:
            raise WiringError(
                f"output {column}: expected a column that an op writes, found none; {columns_text(column, columns)}"
            )
    return columns


def check_written(node: Node, written: Columns) -> None:
    """Raise WiringError unless ``written`` is what the op declares."""
    for name, spec in node.op.writes.items():
        if name not in written or not spec.accepts(written[name]):
            got = f"{written[name].dtype}{list(written[name].shape)}" if name in written else "nothing"
            raise WiringError(f"{node.name}: declares {name} as {spec}, wrote {got}")
