"""Export of a request graph as a Triton model: data only, any version, the caller's graph left alone.

Importing this module imports merlin-systems, which imports TensorFlow: do it inside the function that exports.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.artifact import replace_folder
from ..core.errors import WiringError
from ..core.signature import Signature
from ..workflows.merlin_env import prepare_merlin
from .adapter import Operator, to_signature
from .executor import GRAPH, NODES, RELEASE
from .inputs import Input
from .model_config import config_text
from .release import Release

prepare_merlin()

from merlin.dag import postorder_iter_nodes  # noqa: E402
from merlin.systems.dag import Ensemble  # noqa: E402
from merlin.systems.dag.runtimes.triton.runtime import TritonExecutorRuntime  # noqa: E402

MODEL_PY = '''"""Answers with the release that lies beside this file."""

from cascade.ensemble.backend import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


class DataRuntime(TritonExecutorRuntime):
    """merlin-systems' Triton runtime, writing json, npy, onnx and faiss files where it pickles.

    Every op runs inside one python-backend model; the executor rebuilds them from what is written here.
    """

    def __init__(self, inputs: Sequence[Input], release: Release, max_batch_size: int) -> None:
        super().__init__()
        self.inputs, self.release, self.max_batch_size = tuple(inputs), release, max_batch_size

    def export(
        self, ensemble: Ensemble, path: str | os.PathLike[str], version: int = 1, name: str | None = None
    ) -> tuple[Path, list[Any]]:
        """Write ``path/name/config.pbtxt`` and ``path/name/version/``; other versions stay as they are.

        Returns:
            the version's folder, and no further models.
        """
        model = Path(path) / (name or self.release.model)
        model.mkdir(parents=True, exist_ok=True)
        aside = model / f".{version}.{os.getpid()}"
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            operators = self._write_version(ensemble, aside)
            config = self._config(ensemble, operators, model.name)
            replace_folder(aside, model / str(version))
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        write_aside(model / "config.pbtxt", config)
        return model / str(version), []

    def _write_version(self, ensemble: Ensemble, folder: Path) -> dict[str, Operator]:
        nodes = postorder_iter_nodes(ensemble.graph.output_node, flatten_subgraphs=True)
        found = [node.op for node in nodes if isinstance(node.op, Operator)]
        operators = {f"{at:02d}_{operator.export_name}": operator for at, operator in enumerate(found)}
        for name, operator in operators.items():
            own = folder / NODES / name
            own.mkdir(parents=True)
            operator.save_artifacts(own)
        (folder / GRAPH).write_text(json.dumps(self._graph(ensemble, operators), indent=1) + "\n")
        (folder / "model.py").write_text(MODEL_PY)
        self.release.save(folder / RELEASE)
        return operators

    def _graph(self, ensemble: Ensemble, operators: dict[str, Operator]) -> dict[str, Any]:
        """What graph.json holds.

        Raises:
            WiringError: if no step reads an input.
        """
        read = {column for operator in operators.values() for column in operator.op.reads}
        for entry in self.inputs:
            if entry.name not in read:
                raise WiringError(f"input {entry.name}: expected a step that reads it, there is none")
        return {
            "inputs": [entry.to_json() for entry in self.inputs],
            "outputs": list(ensemble.output_schema.column_names),
            "max_batch_size": self.max_batch_size,
            "nodes": [
                {
                    "name": name,
                    "op": operator.op.kind,
                    "params": operator.op.params(),
                    "reads": _as_json(operator.op.reads),
                    "writes": _as_json(operator.op.writes),
                }
                for name, operator in operators.items()
            ],
        }

    def _config(self, ensemble: Ensemble, operators: dict[str, Operator], name: str) -> str:
        stages = list(dict.fromkeys(operator.op.kind for operator in operators.values()))
        return config_text(name, self.inputs, to_signature(ensemble.output_schema), stages)


def export(
    ensemble: Ensemble,
    repository: Path,
    inputs: Sequence[Input],
    release: Release,
    *,
    version: int,
    max_batch_size: int,
) -> Path:
    """Export ``ensemble`` as version ``version`` of the model that ``release`` names; returns its folder."""
    runtime = DataRuntime(inputs, release, max_batch_size)
    folder, _ = ensemble.export(repository, runtime=runtime, version=version, name=release.model)
    return Path(folder)


def write_aside(file: Path, text: str) -> None:
    """Replace ``file`` in one step, so that a reader finds the old text or the new."""
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    aside.write_text(text)
    aside.replace(file)


def _as_json(signature: Signature) -> dict[str, Any]:
    return {name: [spec.dtype, list(spec.dims)] for name, spec in signature.items()}
