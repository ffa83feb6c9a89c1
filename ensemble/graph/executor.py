"""Runs an exported request graph: every node once per batch, inside Triton and offline alike."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from numpy.typing import NDArray

from ...core.errors import ArtifactError, WiringError
from ...core.signature import (
    Columns,
    ColumnSpec,
    Signature,
    check_wiring,
)
from ..protocol.inputs import Input
from ..protocol.request_batching import Intake
from .ops import OPS
from .ops.base import Op

GRAPH = "graph.json"
RELEASE = "release.json"
NODES = "nodes"


@dataclass(frozen=True)
class Node:
    """An op, what it reads, and the columns that nobody reads after it."""

    name: str
    op: Op
    reads: tuple[str, ...]
    drops: frozenset[str]

    @property
    def stage(self) -> str:
        return self.op.kind


class Executor:
    """A request graph with its ops loaded.

    ``run`` takes the columns of a request, [B, ...] each, and gives the outputs and the milliseconds of each stage.
    """

    def __init__(
        self,
        inputs: Collection[Input],
        ops: Mapping[str, Op],
        outputs: Collection[str],
        *,
        max_users: int,
        release: Mapping[str, Any] | None = None,
        validate: bool = False,
    ) -> None:
        """Check the wiring; ``ops`` (name -> loaded op) run in this order.

        Args:
            validate: check what every op writes against what it declares, at each call.

        Raises:
            WiringError: if an op or an output finds no column, or one of another dtype or rank.
        """
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.max_users, self.release, self.validate = max_users, dict(release or {}), validate
        self.intake = Intake(self.inputs, max_users)
        self.signature = _wire({spec.name: spec.spec for spec in inputs}, ops, self.outputs)
        self.nodes = tuple(
            Node(name, op, tuple(op.reads), drops) for (name, op), drops in zip(ops.items(), _drops(ops), strict=True)
        )
        self.stages = tuple(dict.fromkeys(node.stage for node in self.nodes))
        """Names of the stages, in the order in which they run."""

    @classmethod
    def load(cls, folder: Path, *, replace: Mapping[str, Op] | None = None, validate: bool = False) -> Executor:
        """Rebuild the graph from a version folder of the model repository.

        Args:
            replace: op kind -> a loaded op to run in its place, e.g. a user lookup from a table.

        Raises:
            ArtifactError: if the folder holds no graph, or one that this package does not know.
        """
        folder = Path(folder)
        if not (folder / GRAPH).is_file():
            raise ArtifactError(f"{folder}: no {GRAPH}, so this is no version of an exported model")
        graph = json.loads((folder / GRAPH).read_text())
        ops = {entry["name"]: _load(entry, folder, replace or {}) for entry in graph["nodes"]}
        return cls(
            [Input.from_json(entry) for entry in graph["inputs"]],
            ops,
            graph["outputs"],
            max_users=graph["max_batch_size"],
            release=json.loads((folder / RELEASE).read_text()),
            validate=validate,
        )

    def run(self, columns: Columns, keep: Collection[str] = ()) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
        """Answer a request.

        Args:
            columns: inputs, [B, ...] each; those that are not required may be left out.
            keep: intermediate columns to return beside the outputs.

        Returns:
            the outputs, and stage -> milliseconds.

        Raises:
            RequestError: naming the input that cannot be answered.
        """
        outputs, seconds = self.run_pass(self.intake.accept(columns), keep)
        return outputs, {stage: 1000 * took for stage, took in seconds.items()}

    def run_pass(
        self, have: dict[str, NDArray[Any]], keep: Collection[str] = ()
    ) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
        """What ``run`` does, of all inputs as ``intake`` gives them; stage -> seconds."""
        wanted = {*self.outputs, *keep}
        seconds = dict.fromkeys(self.stages, 0.0)
        for node in self.nodes:
            start = perf_counter()
            written = node.op({name: have[name] for name in node.reads})
            seconds[node.stage] += perf_counter() - start
            if self.validate:
                _check_written(node, written)
            have.update(written)
            for name in node.drops - wanted:
                del have[name]
        return {name: have[name] for name in (*self.outputs, *keep)}, seconds

    def __call__(self, columns: Columns) -> dict[str, NDArray[Any]]:
        return self.run(columns)[0]


def _wire(have: Signature, ops: Mapping[str, Op], outputs: Collection[str]) -> dict[str, ColumnSpec]:
    """Check that every op finds what it reads; the signature of all columns, of the last that writes each.

    An op may put a column of the same name in the place of one that it reads, as transforms do.
    """
    columns = dict(have)
    for name, op in ops.items():
        check_wiring(name, op.reads, columns)
        for column in op.writes:
            if column in columns and column not in op.reads:
                raise WiringError(f"{name}: writes {column}, which is there already, and does not read it")
        columns.update(op.writes)
    for column in outputs:
        if column not in columns:
            raise WiringError(f"output {column}: expected a column that some op writes, there is none")
    return columns


def _drops(ops: Mapping[str, Op]) -> list[frozenset[str]]:
    """For each op the columns that it is the last to read or write."""
    drops: list[frozenset[str]] = []
    later: set[str] = set()
    for op in reversed(list(ops.values())):
        own = {*op.reads, *op.writes}
        drops.append(frozenset(own - later))
        later |= own
    return drops[::-1]


def _load(entry: Mapping[str, Any], folder: Path, replace: Mapping[str, Op]) -> Op:
    kind = entry["op"]
    if kind in replace:
        return replace[kind]
    return load_op(entry, folder / entry.get("folder", f"{NODES}/{entry['name']}"))


def load_op(entry: Mapping[str, Any], folder: Path) -> Op:
    """The op of a node of graph.json, its files in ``folder``.

    Raises:
        ArtifactError: if this package does not know it, or knows it otherwise.
    """
    kind = entry["op"]
    if kind not in OPS:
        raise ArtifactError(f"{folder}: node {entry['name']} is a {kind!r}, this package knows {', '.join(OPS)}")
    op = OPS[kind](**entry["params"])
    for side in ("reads", "writes"):
        declared = {name: ColumnSpec(dtype, tuple(dims)) for name, (dtype, dims) in entry[side].items()}
        if declared != dict(getattr(op, side)):
            raise ArtifactError(f"{folder}: node {entry['name']} was exported with other {side}: export it again")
    op.load(folder)
    return op


def _check_written(node: Node, written: Columns) -> None:
    for name, spec in node.op.writes.items():
        if name not in written or not spec.accepts(written[name]):
            got = f"{written[name].dtype}{list(written[name].shape)}" if name in written else "nothing"
            raise WiringError(f"{node.name}: declares {name} as {spec}, wrote {got}")
