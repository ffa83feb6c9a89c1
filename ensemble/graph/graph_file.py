"""graph.json: a request graph as data, without import paths, so that a release survives changes of the code."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import ArtifactError, CascadeError, ConfigError
from ...core.registry import find, group
from ...core.signature import ColumnSpec, Signature
from ..protocol.inputs import Input

if TYPE_CHECKING:
    from .ops.base import Op


def graph_json(
    ops: Mapping[str, Op],
    inputs: Sequence[Input],
    outputs: Collection[str],
    max_batch_size: int,
    folders: Mapping[str, str],
) -> dict[str, Any]:
    """What graph.json holds.

    Args:
        ops: node name -> op, in the order in which they run.
        folders: node name -> folder of its files relative to the version's, for nodes whose files are not in ``NODES``.
    """
    nodes = [node_json(name, op) | ({"folder": folders[name]} if name in folders else {}) for name, op in ops.items()]
    return {
        "inputs": [entry.to_json() for entry in inputs],
        "outputs": list(outputs),
        "max_batch_size": max_batch_size,
        "nodes": nodes,
    }


def node_json(name: str, op: Op) -> dict[str, Any]:
    """One node: kind and parameters of its op, and the columns that it reads and writes."""
    return {
        "name": name,
        "op": op.kind,
        "params": op.params(),
        "reads": signature_json(op.reads),
        "writes": signature_json(op.writes),
    }


@contextmanager
def damage_named(folder: Path) -> Iterator[None]:
    """Raise ArtifactError in place of whatever a damaged file of a release raises: each format has its own errors."""
    try:
        yield
    except (CascadeError, ImportError, MemoryError):
        raise
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise ArtifactError(
            f"{folder}: damaged or incomplete ({what}); `cascade run` publishes the release again"
        ) from error


def load_node(entry: Mapping[str, Any], folder: Path) -> Op:
    """The op of a node of graph.json, with its files loaded from ``folder``.

    Raises:
        ArtifactError: if this package has no such op, or one that reads or writes other columns.
    """
    from .ops import OPS  # imports numba, which commands that only read names of files need not wait for

    try:
        kind: type[Op] = find("op", entry["op"], OPS)
    except ConfigError as error:
        raise ArtifactError(
            f"{folder}: node {entry['name']} is a {entry['op']!r}, this package knows {', '.join(OPS)}; install the "
            f"package that announces it as an entry point of {group('op')} where the release is loaded: {error}"
        ) from error
    op = kind(**entry["params"])
    for side in ("reads", "writes"):
        if read_signature(entry[side]) != dict(getattr(op, side)):
            raise ArtifactError(f"{folder}: node {entry['name']} was exported with other {side}: export it again")
    with damage_named(folder):
        op.load(folder)
    return op


def signature_json(signature: Signature) -> dict[str, Any]:
    """Column -> [dtype, dims]."""
    return {name: [spec.dtype, list(spec.dims)] for name, spec in signature.items()}


def read_signature(entries: Mapping[str, Any]) -> dict[str, ColumnSpec]:
    """The inverse of ``signature_json``."""
    return {name: ColumnSpec(dtype, tuple(dims)) for name, (dtype, dims) in entries.items()}
