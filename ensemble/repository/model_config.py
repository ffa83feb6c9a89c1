"""config.pbtxt of the fused model, and what the configs of both layouts share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.signature import ColumnSpec, Signature
from ..protocol.inputs import ARM_INPUT, Input

TYPES = {
    "bool": "TYPE_BOOL",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "object": "TYPE_STRING",
}
QUEUE_SIZE = "max_queue_size"
"""Parameter with the number of waiting requests that a model answers at once. Triton's own limit of that name is not
used: with it, requests are batched only when an instance is idle, and with a single instance the dynamic batcher misses
wake-ups, so that requests wait for its timeout of 500 ms."""
STAGES_MS = "stages_ms"
"""Output float32 [B, stages] that the model adds: milliseconds by stage, of the whole pass in every row."""

TRITON_BATCH = 1 << 20
"""max_batch_size, far above what a graph accepts: the executor refuses too many users, with a better message."""


def config_text(
    name: str,
    inputs: Sequence[Input],
    outputs: Signature,
    stages: Sequence[str],
    queue_delay_us: int = 0,
    max_queue_size: int = 1024,
    arm_input: bool = False,
) -> str:
    """config.pbtxt of the fused model with one CPU instance; inputs with a default are optional.

    It names no path and no version, see `of_version`. Waiting requests are joined
    whatever the length of their lists. Triton ends a batch at a request with another set of optional inputs.

    Args:
        stages: names of the stages, in the order of ``stages_ms``.
        queue_delay_us: how long a request may wait for others, in microseconds.
        max_queue_size: requests that may wait for a pass; the model refuses more.
        arm_input: whether a request can ask for an arm.
    """
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as pb

    config = pb.ModelConfig(name=name, backend="python", max_batch_size=TRITON_BATCH)
    for entry in [*inputs, *([ARM_INPUT] if arm_input else [])]:
        config.input.add(
            name=entry.name,
            data_type=pb.DataType.Value(TYPES[entry.dtype]),
            dims=dims_of(entry.spec),
            optional=not entry.required,
            allow_ragged_batch=-1 in dims_of(entry.spec),
        )
    for column, spec in {**outputs, STAGES_MS: ColumnSpec("float32", (len(stages),))}.items():
        config.output.add(name=column, data_type=pb.DataType.Value(TYPES[spec.dtype]), dims=dims_of(spec))
    config.instance_group.add(count=1, kind=pb.ModelInstanceGroup.KIND_CPU)
    # Waiting requests share a pass. When its process is killed they fail together, not one after the other.
    join_what_waits(config, queue_delay_us)
    config.parameters[QUEUE_SIZE].string_value = str(max_queue_size)
    config.version_policy.latest.num_versions = 1
    config.parameters["stages"].string_value = ",".join(stages)
    return str(text_format.MessageToString(config))


def of_version(text: str, version: int) -> str:
    """``text`` of a config.pbtxt for this version of the model: a server serves it, and not the highest one."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as pb

    config = text_format.Parse(text, pb.ModelConfig())
    config.version_policy.specific.versions.append(version)
    return str(text_format.MessageToString(config))


def join_what_waits(config: Any, delay_us: int) -> None:
    """Have Triton hand over at once all requests that wait for a model or arrive within the delay (microseconds)."""
    config.dynamic_batching.SetInParent()
    config.dynamic_batching.max_queue_delay_microseconds = delay_us


def dims_of(spec: ColumnSpec) -> list[int]:
    """The dims as Triton's configs have them; -1 for one that varies."""
    return [dim if isinstance(dim, int) else -1 for dim in spec.dims]
