"""Registered ops between the steps of the request graph: ``serving.ops``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...core.artifact import Artifact
from ...core.errors import ConfigError, WiringError
from ...core.registry import find
from ...core.signature import Signature
from ..config import ExtraOpConfig
from ..graph.ops import OPS, MergeNeighbours, Retrieve
from ..graph.ops.base import Op
from ..graph.request_graph import Step
from ..graph.wiring import wire


def with_extra_ops(
    steps: Sequence[Step],
    extra: Sequence[ExtraOpConfig],
    inputs: Signature,
    outputs: Signature,
    parts: Mapping[str, Artifact],
) -> list[Step]:
    """``steps`` with each extra op after the step that it names; several after one step in the order given.

    What follows ``retrieve`` also follows ``merge_neighbours``, which would bring back items that an op has taken out.

    Args:
        inputs, outputs: of the request graph.
        parts: the artifacts of the release, for the files that an op loads.

    Raises:
        ConfigError: an op's parameters are not those of its constructor, or it follows a step that is not in the graph.
        WiringError: an op finds a column otherwise than it reads it, or nobody reads what it writes.
    """
    found = list(steps)
    kinds = [step.op.kind for step in steps]
    for at, config in reversed(list(enumerate(extra))):
        key = f"serving.ops[{at}]"
        if config.after not in kinds:
            raise ConfigError(f"{key}.after: the graph has no step {config.after}; it has {', '.join(kinds)}")
        op = made(config, key)
        now = [step.op.kind for step in found]
        after = MergeNeighbours.kind if config.after == Retrieve.kind and MergeNeighbours.kind in now else config.after
        place = now.index(after)
        found.insert(place + 1, Step(op, op.files(parts)))
    wire(inputs, {f"{at:02d}_{step.op.kind}": step.op for at, step in enumerate(found)}, list(outputs))
    _check_read(found, kinds, outputs)
    return found


def made(config: ExtraOpConfig, key: str) -> Op:
    """The op of an entry of ``serving.ops``; ``key`` names the entry in errors.

    Raises:
        ConfigError: its parameters are not those of the constructor.
    """
    kind: type[Op] = find("op", config.op, OPS)
    try:
        return kind(**config.params)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{key}.params: {config.op} cannot be made of {config.params}: {error}") from error


def _check_read(steps: Sequence[Step], kinds: Sequence[str], outputs: Signature) -> None:
    """An op whose columns nobody reads would cost time in every request, and change nothing."""
    for at, step in enumerate(steps):
        later = {name for other in steps[at + 1 :] for name in other.op.reads} | {*outputs}
        if step.op.kind not in kinds and not later & set(step.op.writes):
            raise WiringError(
                f"{step.op.kind}: writes {', '.join(step.op.writes)}, which no later step reads; write a column that "
                "one does, e.g. the one that it reads"
            )
