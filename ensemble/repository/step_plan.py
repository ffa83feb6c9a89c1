"""Which tensor goes where when every step of a request graph is a model of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ...core.errors import WiringError
from ...core.signature import ColumnSpec, Signature
from ..graph.ops.base import Op
from ..protocol.inputs import Input
from .model_config import STAGES_MS

STEP = "step.json"
"""What a step's model is told beside its config.pbtxt."""
FILES = "files"
"""Folder of a step's version that holds what its op loads."""
TRACE, TRACED = "trace", "traced"
"""What a step reads and writes beside its op's columns: float32 [B, 1 + steps so far], the release as a number, then
the milliseconds that each step took.

It goes through all steps one after the other, so that none answers a request that began in another release.
"""


@dataclass(frozen=True)
class StepPlan:
    """One step as a Triton model: its tensors by name, and the ensemble's tensor that each is."""

    name: str
    """Of the op's kind, e.g. ``rank``."""
    node: str
    """As graph.json names it."""
    op: Op
    reads: Signature
    writes: Signature
    reads_from: Mapping[str, str]
    """Input -> tensor of the ensemble."""
    writes_to: Mapping[str, str]
    first: bool
    """Whether it takes the request: it checks it and passes the inputs on, filled."""
    timed: bool
    """Whether it adds its milliseconds to the trace."""


def plan(
    ops: Mapping[str, Op], inputs: Sequence[Input], outputs: Signature, untimed: Collection[str] = ()
) -> list[StepPlan]:
    """The steps of a graph, in order.

    A tensor of the ensemble has one writer, and a column may have two (transforms put codes in the place of raw
    values): the tensor of a column is named after the step, but for the ensemble's own inputs and outputs.

    Args:
        ops: node name -> op, in order, of at least two.
        outputs: the ensemble's, without ``stages_ms``.
        untimed: kinds of steps that cannot say how long they took.

    Raises:
        WiringError: if two steps are of one kind, or the first or last is among ``untimed``.
    """
    nodes = list(ops.items())
    kinds = [op.kind for _, op in nodes]
    _check(kinds, untimed)
    columns = {entry.name: entry.spec for entry in inputs}
    tensors = {name: name for name in columns}
    last_writer = {name: kind for kind, (_, op) in zip(kinds, nodes, strict=True) for name in op.writes}
    width, steps = 1, []
    for at, (node, op) in enumerate(nodes):
        first, last, timed = at == 0, at == len(nodes) - 1, op.kind not in untimed
        later = {name for _, other in nodes[at + 1 :] for name in other.reads} | {*outputs}
        reads = dict(columns) if first else {**op.reads, TRACE: _float32(width)}
        width += timed
        passed_on = {entry.name: entry.spec for entry in inputs if not entry.required} if first else {}
        writes = {name: spec for name, spec in {**passed_on, **op.writes}.items() if name in later}
        writes |= {STAGES_MS: _float32(width - 1)} if last else {TRACED: _float32(width)}
        own = {name for name in outputs if last_writer.get(name) == op.kind} | {STAGES_MS}
        reads_from = {name: tensors[name] for name in reads}
        writes_to = {name: name if name in own else f"{op.kind}.{name}" for name in writes}
        steps.append(StepPlan(op.kind, node, op, reads, writes, reads_from, writes_to, first, timed))
        tensors |= {TRACE if name == TRACED else name: tensor for name, tensor in writes_to.items()}
    return steps


def timed_stages(steps: Sequence[StepPlan]) -> list[str]:
    """Names of the entries of ``stages_ms``."""
    return [step.name for step in steps if step.timed]


def release_number(release: str) -> float:
    """The release as a trace holds it: 24 bits of a hash, which is what a float32 has room for."""
    return float(int.from_bytes(hashlib.sha256(release.encode()).digest()[:3]))


def _float32(width: int) -> ColumnSpec:
    return ColumnSpec("float32", (width,))


def _check(kinds: Sequence[str], untimed: Collection[str]) -> None:
    twice = sorted({kind for kind in kinds if kinds.count(kind) > 1})
    if twice:
        raise WiringError(f"{', '.join(twice)}: two steps of a kind, the ensemble layout names models by kind")
    for kind in (kinds[0], kinds[-1]):
        if kind in untimed:
            raise WiringError(f"{kind}: the first and the last step of an ensemble must be python models")
