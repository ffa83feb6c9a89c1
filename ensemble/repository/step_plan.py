"""The tensors between the steps of a request graph, when each step is a separate Triton model."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ...core.errors import WiringError
from ...core.signature import ColumnSpec, Signature
from ..graph.ops.base import Op
from ..protocol.arms import ARM_INPUT
from ..protocol.inputs import Input
from .model_config import STAGES_MS

STEP = "step.json"
"""File with what a step's model needs to know beside its config.pbtxt."""
FILES = "files"
"""Folder of a step's version with the files that its op loads."""
TRACE, TRACED = "trace", "traced"
"""What a step reads and writes beside the columns of its op: float32 [B, 1 + steps so far], the release as a number and
the milliseconds of each step.

The trace passes through all steps in turn, so that no step answers a request that began in another release.
"""


ASKED = "asked."
"""Begins the names of the inputs with which the last step asks arms: the inputs of the request as the client has sent
them, beside columns that may have the same names."""


@dataclass(frozen=True)
class StepPlan:
    """One step as a Triton model: its inputs and outputs, and the tensor of the ensemble that belongs to each."""

    name: str
    """The kind of its op, e.g. ``rank``."""
    node: str
    """Its name in graph.json."""
    op: Op
    reads: Signature
    writes: Signature
    reads_from: Mapping[str, str]
    """Input -> tensor of the ensemble."""
    writes_to: Mapping[str, str]
    """Output -> tensor of the ensemble."""
    first: bool
    """Whether it takes the request. The first step checks it and passes the inputs on, with the defaults filled in."""
    timed: bool
    """Whether it adds its milliseconds to the trace."""
    asks: tuple[Input, ...] = ()
    """The inputs of the ensemble, if this is the last step: it asks arms with them, and writes all outputs."""


def plan(
    ops: Mapping[str, Op],
    inputs: Sequence[Input],
    outputs: Signature,
    untimed: Collection[str] = (),
    arm_input: bool = False,
) -> list[StepPlan]:
    """The steps of a graph, in order.

    Triton allows a tensor one writer, but a column may have two: transforms replace raw values by codes. A tensor is
    therefore named after step and column, except for the inputs and outputs of the ensemble.

    Args:
        ops: node name -> op, in order, at least two.
        inputs: of the ensemble.
        outputs: of the ensemble, without ``stages_ms``.
        untimed: kinds of steps that cannot measure how long they take.
        arm_input: whether a request can ask for an arm.

    Raises:
        WiringError: if two steps have the same kind, or the first or last is among ``untimed``.
    """
    nodes = list(ops.items())
    kinds = [op.kind for _, op in nodes]
    _check(kinds, untimed)
    columns = {entry.name: entry.spec for entry in inputs}
    tensors = {name: name for name in columns}
    written = columns | {name: spec for op in ops.values() for name, spec in op.writes.items()}
    width, steps = 1, []
    for at, (node, op) in enumerate(nodes):
        first, last, timed = at == 0, at == len(nodes) - 1, op.kind not in untimed
        later = {name for _, other in nodes[at + 1 :] for name in other.reads} | {*outputs}
        asks = (*inputs, *([ARM_INPUT] if arm_input else [])) if last else ()
        earlier = {name: written[name] for name in outputs if last and name not in op.writes}
        reads = dict(columns) if first else {**op.reads, **earlier, TRACE: _float32(width)}
        width += timed
        passed_on = {entry.name: entry.spec for entry in inputs if not entry.required} if first else {}
        writes = {name: spec for name, spec in {**passed_on, **earlier, **op.writes}.items() if name in later}
        writes |= {STAGES_MS: _float32(width - 1)} if last else {TRACED: _float32(width)}
        reads_from = {name: tensors[name] for name in reads} | {ASKED + entry.name: entry.name for entry in asks}
        writes_to = {name: name if last else f"{op.kind}.{name}" for name in writes}
        steps.append(StepPlan(op.kind, node, op, reads, writes, reads_from, writes_to, first, timed, asks))
        tensors |= {TRACE if name == TRACED else name: tensor for name, tensor in writes_to.items()}
    return steps


def timed_stages(steps: Sequence[StepPlan]) -> list[str]:
    """Names of the entries of ``stages_ms``."""
    return [step.name for step in steps if step.timed]


def release_number(release: str) -> float:
    """The release as a number for the trace: 24 bits of a hash, which a float32 represents exactly."""
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
