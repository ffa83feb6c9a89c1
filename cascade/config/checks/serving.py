"""Sizes, layout and ports of what is served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from ...core.suggest import nearest
from ..pipeline import PipelineConfig


def serving_conflicts(config: PipelineConfig) -> Iterator[str]:
    """Lines about candidates, layouts, step instances and ports."""
    yield from _sizes(config)
    yield from _layout(config)
    if config.serving.step_instances:
        yield from _step_instances(config)
    yield from _ports(config)


def _sizes(config: PipelineConfig) -> Iterator[str]:
    k, topk = config.serving.rerank.k, config.serving.ann.topk
    if k > topk:
        yield (
            f"serving.rerank.k: is {k}, serving.ann.topk is {topk}: only candidates can be reranked, "
            f"so k must be at most {topk}, or topk at least {k}"
        )


def _layout(config: PipelineConfig) -> Iterator[str]:
    """ONNX Runtime and TensorRT need a Triton model for each step."""
    serving = config.serving
    if serving.backend == "onnxruntime" and serving.layout != "ensemble":
        yield (
            f"serving.backend: onnxruntime needs a Triton model for each step, serving.layout is {serving.layout}: "
            "set serving.layout: ensemble, or serving.backend: python"
        )
    if serving.tensorrt.enabled and serving.backend != "onnxruntime":
        yield (
            f"serving.tensorrt.enabled: TensorRT accelerates onnxruntime models, serving.backend is "
            f"{serving.backend}: set serving.backend: onnxruntime, or serving.tensorrt.enabled: false"
        )


def _step_instances(config: PipelineConfig) -> Iterator[str]:
    from ...ensemble.graph.request_graph import Steps  # imports numba: only for configs that name steps

    layout = config.serving.layout
    steps = [*(step.name for step in fields(Steps)), *(extra.op for extra in config.serving.ops)]
    if layout != "ensemble":
        yield (
            "serving.step_instances: sets the instances of each step's model with serving.layout: ensemble, but it is "
            f"{layout}; use server.instances for that"
        )
    for step, count in config.serving.step_instances.items():
        if step not in steps:
            yield f"serving.step_instances.{step}: the request path has no such step; {nearest(step, steps)}"
        if count < 1:
            yield f"serving.step_instances.{step}: is {count}, must be at least 1"


def _ports(config: PipelineConfig) -> Iterator[str]:
    ports = {name: getattr(config.server, name) for name in ("http_port", "grpc_port", "metrics_port")}
    for name, port in ports.items():
        twin = next((n for n, p in ports.items() if p == port and n < name), None)
        if port and twin:
            yield f"server.{twin} and server.{name}: both are {port}; give each its own, or 0 for a free one"
