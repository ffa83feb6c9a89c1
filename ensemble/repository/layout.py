"""The folders of a model repository: one fused model, or an ensemble with a model for each step, see `plan`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ...core.artifact import replace_folder
from ...core.errors import WiringError
from ...core.files import link_or_copy, write_text
from ...core.signature import Signature
from ..config import ServingConfig
from ..graph.graph_file import graph_json, node_json, signature_json
from ..graph.request_graph import Step
from ..protocol.config_file import CONFIG
from ..protocol.inputs import Input
from ..protocol.release_names import GRAPH, NODES, RELEASE
from .digests import write_digests
from .model_config import config_text, of_version
from .refresh_files import REFRESH
from .release import ReleaseManifest
from .step_config import ensemble_text, onnx_text, step_model, step_text
from .step_plan import FILES, STEP, StepPlan, plan, timed_stages

BY_ONNXRUNTIME = ("encode_query", "rank")
"""The steps that run in Triton's onnxruntime backend with ``serving.backend: onnxruntime``."""

MODEL_PY = '''"""Answers with the release that lies beside this file."""

from cascade.ensemble.triton.{module} import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


@dataclass(frozen=True)
class Exported:
    """A request graph with checked wiring, ready to be written."""

    nodes: Mapping[str, Step]
    """Name in graph.json -> op and files, in the order in which they run."""
    inputs: Sequence[Input]
    outputs: Signature
    release: ReleaseManifest
    serving: ServingConfig
    refresh: Mapping[str, Path] = field(default_factory=dict)
    """Files to renew the items with, see `refresh_files`: name -> where it is now."""

    def __post_init__(self) -> None:
        read = {column for step in self.nodes.values() for column in step.op.reads}
        for entry in self.inputs:
            if entry.name not in read:
                raise WiringError(f"input {entry.name}: expected a step that reads it, there is none")


@dataclass(frozen=True)
class Model:
    """One model of a repository."""

    name: str
    config: str
    """Text of its config.pbtxt."""
    fill: Callable[[Path], None]
    """Writes the folder of a version."""


def write(exported: Exported, repository: Path, name: str, version: int) -> Path:
    """Write all models of the configured layout; their other versions stay as they are.

    Every version is written beside its place. They are renamed when all are complete, the model that clients call last.
    A server serves this version from then on.

    Returns:
        the version's folder of that model.
    """
    models = fused(exported, name) if exported.serving.layout == "fused" else ensemble(exported, name, version)
    with ExitStack() as stack:
        aside = {}
        for model in models:
            folder = repository / model.name
            folder.mkdir(parents=True, exist_ok=True)
            aside[model.name] = folder / f".{version}.{os.getpid()}"
            stack.callback(shutil.rmtree, aside[model.name], ignore_errors=True)
            shutil.rmtree(aside[model.name], ignore_errors=True)
            aside[model.name].mkdir()
            model.fill(aside[model.name])
            exported.release.save(aside[model.name] / RELEASE)
            write_digests(aside[model.name], of_version(model.config, version))
        for model in models:
            replace_folder(aside[model.name], repository / model.name / str(version))
            write_text(repository / model.name / CONFIG, of_version(model.config, version))
    return repository / name / str(version)


def fused(exported: Exported, name: str) -> list[Model]:
    """One python model that runs all steps."""
    stages = list(dict.fromkeys(step.op.kind for step in exported.nodes.values()))

    def fill(folder: Path) -> None:
        for node, step in exported.nodes.items():
            _place(step.files, folder / NODES / node)
        _place_refresh(exported, folder)
        _write_json(folder / GRAPH, _graph(exported, {}))
        (folder / "model.py").write_text(MODEL_PY.format(module="model"))

    serving = exported.serving
    text = config_text(
        name,
        exported.inputs,
        exported.outputs,
        stages,
        serving.queue_delay_us,
        serving.max_queue_size,
        serving.arm_input,
    )
    return [Model(name, text, fill)]


def ensemble(exported: Exported, name: str, version: int) -> list[Model]:
    """A model for each step, and the ensemble. Its graph.json names the steps' folders, so it also runs offline."""
    untimed = BY_ONNXRUNTIME if exported.serving.backend == "onnxruntime" else ()
    ops = {node: step.op for node, step in exported.nodes.items()}
    steps = plan(ops, exported.inputs, exported.outputs, untimed, exported.serving.arm_input)
    folders = {
        node: f"../../{step_model(name, step.name)}/{version}/{FILES}/{node}" for step in steps for node in step.ops
    }

    def fill(folder: Path) -> None:
        _place_refresh(exported, folder)
        _write_json(folder / GRAPH, _graph(exported, folders))

    text = ensemble_text(name, exported.outputs, steps)
    stages = timed_stages(steps)
    return [*(_step(exported, name, step, stages) for step in steps), Model(name, text, fill)]


def _step(exported: Exported, name: str, step: StepPlan, stages: Sequence[str]) -> Model:
    model = step_model(name, step.name)
    if not step.timed:
        return Model(model, onnx_text(name, step, exported.serving), partial(_fill_onnx, exported, step))
    text = step_text(name, step, exported.inputs, exported.serving)
    asks = {"model": name, "stages": stages, "inputs": [entry.to_json() for entry in exported.inputs]}
    return Model(model, text, partial(_fill_step, exported, step, asks if step.asks else None))


def _fill_step(exported: Exported, step: StepPlan, asks: Mapping[str, Any] | None, folder: Path) -> None:
    for node in step.ops:
        _place(exported.nodes[node].files, folder / FILES / node)
    facts = {
        "max_batch_size": exported.serving.max_batch_size,
        "inputs": [entry.to_json() for entry in exported.inputs] if step.first else None,
        "asks": asks,
        "reads": signature_json(step.reads),
        "nodes": [node_json(node, op) for node, op in step.ops.items()],
    }
    _write_json(folder / STEP, facts)
    (folder / "model.py").write_text(MODEL_PY.format(module="step_model"))


def _fill_onnx(exported: Exported, step: StepPlan, folder: Path) -> None:
    from .onnx_step import write_model

    [node] = step.ops
    _place(exported.nodes[node].files, folder / FILES / node)
    write_model(step, exported.nodes[node], exported.release.release, folder)


def _graph(exported: Exported, folders: Mapping[str, str]) -> dict[str, Any]:
    ops = {name: step.op for name, step in exported.nodes.items()}
    return graph_json(ops, exported.inputs, list(exported.outputs), exported.serving.max_batch_size, folders)


def _place_refresh(exported: Exported, folder: Path) -> None:
    if exported.refresh:
        _place(exported.refresh, folder / REFRESH)


def _place(files: Mapping[str, Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, source in files.items():
        link_or_copy(source, folder / name)


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=1) + "\n")
