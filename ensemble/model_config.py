"""Triton's config.pbtxt of an exported graph."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.signature import ColumnSpec, Signature
from .inputs import Input

TYPES = {
    "bool": "TYPE_BOOL",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "object": "TYPE_STRING",
}
STAGES_MS = "stages_ms"
"""Output float32 [B, stages] that the backend adds: milliseconds by stage, the call's in every row."""

TRITON_BATCH = 1 << 20
"""Far above what a graph accepts: too many users are refused by the executor, whose message names the input."""


def config_text(name: str, inputs: Sequence[Input], outputs: Signature, stages: Sequence[str]) -> str:
    """config.pbtxt: a python model with one CPU instance, optional inputs where a default exists.

    Names no path and no version, so that one file serves all versions of a model.
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
        )
    for column, spec in {**outputs, STAGES_MS: ColumnSpec("float32", (len(stages),))}.items():
        config.output.add(name=column, data_type=pb.DataType.Value(TYPES[spec.dtype]), dims=_dims(spec))
    config.instance_group.add(count=1, kind=pb.ModelInstanceGroup.KIND_CPU)
    # Requests that wait reach the model together, and fail together when its process is killed, not a second apart.
    config.dynamic_batching.SetInParent()
    config.version_policy.latest.num_versions = 1
    config.parameters["stages"].string_value = ",".join(stages)
    return str(text_format.MessageToString(config))


def _dims(spec: ColumnSpec) -> list[int]:
    return [dim if isinstance(dim, int) else -1 for dim in spec.dims]
