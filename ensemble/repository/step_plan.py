"""The tensors between the steps of a request graph, when each step is a separate Triton model."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ...core.errors import WiringError
from ...core.signature import ColumnSpec, Signature
from ..graph.ops import Transform
from ..graph.ops.base import Op, Reason
from ..protocol.inputs import ARM_INPUT, Input
from .model_config import STAGES_MS

STALE = Reason.FEATURES_STALE.value
STEP = "step.json"
"""File with what a step's model needs to know beside its config.pbtxt."""
FILES = "files"
"""Folder of a step's version with a folder for each of its ops: the files that the op loads."""
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
    """A Triton model that runs one step, or the last ones: its inputs and outputs, and the tensor of the ensemble that
    belongs to each."""

    name: str
    """The kind of its last op, e.g. ``rank``."""
    ops: Mapping[str, Op]
    """Name in graph.json -> op, in order."""
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
    """The inputs of the ensemble, if this is the last model: it asks arms with them."""

    @property
    def stages(self) -> list[str]:
        """Kinds of its ops."""
        return [op.kind for op in self.ops.values()]


def plan(
    ops: Mapping[str, Op],
    inputs: Sequence[Input],
    outputs: Signature,
    untimed: Collection[str] = (),
    arm_input: bool = False,
) -> list[StepPlan]:
    """The models of a graph, in order: one for each step, but the steps from the first that writes an output on are one
    model, since an arm answers in place of all of them.

    Triton allows a tensor one writer, but a column may have two: transforms replace raw values by codes. A tensor is
    therefore named after step and column, except for the inputs and outputs of the ensemble.

    Args:
        ops: node name -> op, in order, at least two.
        inputs: of the ensemble.
        outputs: of the ensemble, without ``stages_ms``.
        untimed: kinds of steps that cannot measure how long they take.
        arm_input: whether a request can ask for an arm.

    Raises:
        WiringError: if two steps have the same kind, the first writes an output, or it or one of the last is among
            ``untimed``.
    """
    nodes = list(ops.items())
    writer = {name: at for at, (_, op) in enumerate(nodes) for name in op.writes if name in outputs}
    answering = min(writer.values())
    _check([op.kind for _, op in nodes], answering, untimed)
    parts = [dict([node]) for node in nodes[:answering]] + [dict(nodes[answering:])]
    columns = {entry.name: entry.spec for entry in inputs}
    tensors = {name: name for name in columns}
    width, steps = 1, []
    for at, part in enumerate(parts):
        kinds = [op.kind for op in part.values()]
        first, last, timed = at == 0, at == len(parts) - 1, kinds[0] not in untimed
        later = {name for other in parts[at + 1 :] for name in _reads(other)} | {*outputs}
        asks = (*inputs, *([ARM_INPUT] if arm_input else [])) if last else ()
        reads = dict(columns) if first else {**_reads(part), TRACE: _float32(width)}
        if Transform.kind in kinds and STALE in tensors:  # requests are not kept for the skew gate without features
            reads[STALE] = ColumnSpec("bool")
        width += len(kinds) if timed else 0
        passed_on = {entry.name: entry.spec for entry in inputs if not entry.required} if first else {}
        written = passed_on | {name: spec for op in part.values() for name, spec in op.writes.items()}
        writes = {name: spec for name, spec in written.items() if name in later}
        writes |= {STAGES_MS: _float32(width - 1)} if last else {TRACED: _float32(width)}
        reads_from = {name: tensors[name] for name in reads} | {ASKED + entry.name: entry.name for entry in asks}
        writes_to = {name: name if last else f"{kinds[-1]}.{name}" for name in writes}
        steps.append(StepPlan(kinds[-1], part, reads, writes, reads_from, writes_to, first, timed, asks))
        tensors |= {TRACE if name == TRACED else name: tensor for name, tensor in writes_to.items()}
    return steps


def timed_stages(steps: Sequence[StepPlan]) -> list[str]:
    """Names of the entries of ``stages_ms``."""
    return [stage for step in steps if step.timed for stage in step.stages]


def release_number(release: str) -> float:
    """The release as a number for the trace: 24 bits of a hash, which a float32 represents exactly."""
    return float(int.from_bytes(hashlib.sha256(release.encode()).digest()[:3]))


def _float32(width: int) -> ColumnSpec:
    return ColumnSpec("float32", (width,))


def _reads(ops: Mapping[str, Op]) -> Signature:
    """What these ops read and none of them has written before."""
    found, written = dict[str, ColumnSpec](), set[str]()
    for op in ops.values():
        found |= {name: spec for name, spec in op.reads.items() if name not in written}
        written |= {*op.writes}
    return found


def _check(kinds: Sequence[str], answering: int, untimed: Collection[str]) -> None:
    twice = sorted({kind for kind in kinds if kinds.count(kind) > 1})
    if twice:
        raise WiringError(f"{', '.join(twice)}: two steps of a kind, the ensemble layout names models by kind")
    if answering == 0:
        raise WiringError(f"{kinds[0]}: the first step of an ensemble cannot write an output")
    for kind in (kinds[0], *kinds[answering:]):
        if kind in untimed:
            raise WiringError(f"{kind}: the first step of an ensemble, and those that answer, must be python models")
