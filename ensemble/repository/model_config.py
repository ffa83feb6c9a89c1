"""Triton's config.pbtxt of an exported graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.errors import ServerError
from ...core.signature import ColumnSpec, Signature
from ..protocol.call_errors import one_line
from ..protocol.inputs import Input

TYPES = {
    "bool": "TYPE_BOOL",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "object": "TYPE_STRING",
}
QUEUE_SIZE = "max_queue_size"
"""Parameter that tells the python backend how many of the requests that have waited it takes into one pass. Triton's
own limit of that name is not used: with it a request is batched only once an instance is idle, the dynamic batcher
misses wake-ups where there is one instance, and requests then lie for its 500 ms."""
STAGES_MS = "stages_ms"
"""Output float32 [B, stages] that the backend adds: milliseconds by stage, the call's in every row."""

TRITON_BATCH = 1 << 20
"""Far above what a graph accepts: too many users are refused by the executor, whose message names the input."""


def config_text(
    name: str,
    inputs: Sequence[Input],
    outputs: Signature,
    stages: Sequence[str],
    queue_delay_us: int = 0,
    max_queue_size: int = 1024,
) -> str:
    """config.pbtxt: a python model with one CPU instance, optional inputs where a default exists.

    Names no path and no version, so that one file serves all versions of a model. Requests that wait are joined
    whatever the length of their lists; Triton ends a batch where a request brings another set of optional inputs.

    Args:
        queue_delay_us: how long a request may wait for others, microseconds.
        max_queue_size: requests that may wait for a pass; the backend refuses more.
    """
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as pb

    config = pb.ModelConfig(name=name, backend="python", max_batch_size=TRITON_BATCH)
    for entry in inputs:
        config.input.add(
            name=entry.name,
            data_type=pb.DataType.Value(TYPES[entry.dtype]),
            dims=_dims(entry.spec),
            optional=not entry.required,
            allow_ragged_batch=-1 in _dims(entry.spec),
        )
    for column, spec in {**outputs, STAGES_MS: ColumnSpec("float32", (len(stages),))}.items():
        config.output.add(name=column, data_type=pb.DataType.Value(TYPES[spec.dtype]), dims=_dims(spec))
    config.instance_group.add(count=1, kind=pb.ModelInstanceGroup.KIND_CPU)
    # Requests that wait share a pass, and fail together when its process is killed, not a second apart.
    join_what_waits(config, queue_delay_us)
    config.parameters[QUEUE_SIZE].string_value = str(max_queue_size)
    config.version_policy.latest.num_versions = 1
    config.parameters["stages"].string_value = ",".join(stages)
    return str(text_format.MessageToString(config))


def join_what_waits(config: Any, delay_us: int) -> None:
    """Let Triton hand over all requests that wait for a model at once, or that come within the delay."""
    config.dynamic_batching.SetInParent()
    config.dynamic_batching.max_queue_delay_microseconds = delay_us


def read_config(file: Path) -> Any:
    """The config (protobuf ``ModelConfig``) in a config.pbtxt.

    Raises:
        ServerError: if it holds none.
    """
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as pb

    try:
        return text_format.Parse(file.read_text(), pb.ModelConfig())
    except text_format.ParseError as error:
        raise ServerError(f"{file}: is no model config: {one_line(error)}") from error


def _dims(spec: ColumnSpec) -> list[int]:
    return [dim if isinstance(dim, int) else -1 for dim in spec.dims]
