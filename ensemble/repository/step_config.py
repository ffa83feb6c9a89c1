"""config.pbtxt of the ensemble layout: of the ensemble, and of the model of each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.signature import Signature
from ..config import ServingConfig, TensorRtConfig
from ..protocol.inputs import Input
from .model_config import (
    QUEUE_SIZE,
    STAGES_MS,
    TRITON_BATCH,
    TYPES,
    dims_of,
    join_what_waits,
)
from .step_plan import ASKED, StepPlan, timed_stages

CORE = "core"
"""The resource of Triton's rate limiter that a step holds while it runs; `cascade serve` sets how many there are. Steps
then wait for a core in Triton instead of the kernel's run queue, and requests that arrive meanwhile share a pass."""
MIB = 1 << 20
"""Bytes in a MiB."""


def ensemble_text(name: str, outputs: Signature, steps: Sequence[StepPlan]) -> str:
    """config.pbtxt of the ensemble ``name``: the inputs and outputs of the fused model, and the tensors between steps.

    It names no version, so that one file serves all versions.
    """
    config = _config(name)
    config.platform = "ensemble"
    _add(config.input, *_inputs(steps[-1].asks))
    _add(config.output, {**outputs, STAGES_MS: steps[-1].writes[STAGES_MS]})
    for step in steps:
        entry = config.ensemble_scheduling.step.add(model_name=step_model(name, step.name), model_version=-1)
        entry.input_map.update(step.reads_from)
        entry.output_map.update(step.writes_to)
    config.parameters["stages"].string_value = ",".join(timed_stages(steps))
    return _text(config)


def step_text(name: str, step: StepPlan, inputs: Sequence[Input], serving: ServingConfig) -> str:
    """config.pbtxt of a step as a python model. Requests whose rows differ in length share a pass.

    Args:
        name: of the ensemble.
        inputs: of a request; the first step takes them and fills in the defaults.
    """
    config = _step(name, step, serving)
    config.backend = "python"
    optional = {entry.name for entry in inputs if not entry.required} if step.first else set()
    _add(config.input, step.reads, optional, ragged=True)
    _add(config.input, *_inputs(step.asks, ASKED), ragged=True)
    _on_cpu(config.instance_group[0])
    config.parameters[QUEUE_SIZE].string_value = str(serving.max_queue_size)
    return _text(config)


def onnx_text(name: str, step: StepPlan, serving: ServingConfig) -> str:
    """config.pbtxt of a step as an onnxruntime model: one CPU thread per instance, or TensorRT on a GPU if enabled."""
    config = _step(name, step, serving)
    config.platform, config.backend, config.default_model_filename = "onnxruntime_onnx", "onnxruntime", "model.onnx"
    _add(config.input, step.reads)
    group = config.instance_group[0]
    if serving.tensorrt.enabled:
        group.kind = group.KIND_GPU
        accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
        accelerator.parameters.update(_tensorrt(serving.tensorrt))
    else:
        _on_cpu(group)
        for pool in ("intra_op_thread_count", "inter_op_thread_count"):
            config.parameters[pool].string_value = "1"
    return _text(config)


def step_model(name: str, step: str) -> str:
    """Name of the Triton model of a step of the ensemble ``name``."""
    return f"{name}_{step}"


def _step(name: str, step: StepPlan, serving: ServingConfig) -> Any:
    config = _config(step_model(name, step.name))
    _add(config.output, step.writes)
    config.instance_group.add(count=max(serving.step_instances.get(stage, 1) for stage in step.stages))
    join_what_waits(config, serving.queue_delay_us)
    return config


def _on_cpu(group: Any) -> None:
    group.kind = group.KIND_CPU
    group.rate_limiter.resources.add(name=CORE, count=1)


def _config(name: str) -> Any:
    from tritonclient.grpc import model_config_pb2 as pb

    config = pb.ModelConfig(name=name, max_batch_size=TRITON_BATCH)
    config.version_policy.latest.num_versions = 1
    return config


def _inputs(inputs: Sequence[Input], prefix: str = "") -> tuple[Signature, set[str]]:
    """The columns of these inputs, and the names of those that may be left out."""
    named = {prefix + entry.name: entry for entry in inputs}
    return {name: entry.spec for name, entry in named.items()}, {name for name in named if not named[name].required}


def _add(
    entries: Any, columns: Signature, optional: frozenset[str] | set[str] = frozenset(), *, ragged: bool = False
) -> None:
    """Add a tensor for each column; ``optional`` ones may be left out."""
    from tritonclient.grpc import model_config_pb2 as pb

    for name, spec in columns.items():
        entry = entries.add(name=name, data_type=pb.DataType.Value(TYPES[spec.dtype]), dims=dims_of(spec))
        if name in optional:
            entry.optional = True
        if ragged and -1 in entry.dims:
            entry.allow_ragged_batch = True


def _tensorrt(settings: TensorRtConfig) -> Mapping[str, str]:
    return {
        "precision_mode": settings.precision,
        "max_workspace_size_bytes": str(settings.max_workspace_mb * MIB),
    }


def _text(config: Any) -> str:
    from google.protobuf import text_format

    return str(text_format.MessageToString(config))
