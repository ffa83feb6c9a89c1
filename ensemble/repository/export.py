"""Export of a request graph to a Triton model repository, as data only; the caller's graph is not changed.

This module imports merlin-systems, which imports TensorFlow, so import it inside the function that exports.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.artifact import Artifact
from ...core.merlin_env import prepare_merlin
from ..config import ServingConfig
from ..graph.merlin_adapter import Operator, to_signature
from ..graph.request_graph import Step
from ..protocol.inputs import Input
from .extra_ops import with_extra_ops
from .layout import Exported, write
from .release import ReleaseManifest

prepare_merlin()

from merlin.dag import postorder_iter_nodes  # noqa: E402
from merlin.systems.dag import Ensemble  # noqa: E402
from merlin.systems.dag.runtimes.triton.runtime import TritonExecutorRuntime  # noqa: E402


class DataRuntime(TritonExecutorRuntime):
    """merlin-systems' Triton runtime, but it writes json, npy, onnx and faiss files instead of pickles.

    The models rebuild the ops from these files.
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        release: ReleaseManifest,
        serving: ServingConfig,
        parts: Mapping[str, Artifact],
        refresh: Mapping[str, Path],
    ) -> None:
        super().__init__()
        self.inputs, self.release, self.serving, self.parts = tuple(inputs), release, serving, parts
        self.refresh = refresh

    def export(
        self, ensemble: Ensemble, path: str | os.PathLike[str], version: int = 1, name: str | None = None
    ) -> tuple[Path, list[Any]]:
        """Write the models of the configured layout; other versions stay as they are.

        Returns:
            the version's folder of the model that clients call, and an empty list of further models.

        Raises:
            WiringError: if no step reads an input, or the graph could not be loaded; then nothing is written.
        """
        nodes = postorder_iter_nodes(ensemble.graph.output_node, flatten_subgraphs=True)
        found = [Step(node.op.op, node.op.files) for node in nodes if isinstance(node.op, Operator)]
        outputs = to_signature(ensemble.output_schema)
        inputs = {entry.name: entry.spec for entry in self.inputs}
        found = with_extra_ops(found, self.serving.ops, inputs, outputs, self.parts)
        steps = {f"{at:02d}_{step.op.kind}": step for at, step in enumerate(found)}
        exported = Exported(steps, self.inputs, outputs, self.release, self.serving, self.refresh)
        return write(exported, Path(path), name or self.release.model, version), []


def export(
    ensemble: Ensemble,
    repository: Path,
    inputs: Sequence[Input],
    release: ReleaseManifest,
    *,
    version: int,
    serving: ServingConfig,
    parts: Mapping[str, Artifact] | None = None,
    refresh: Mapping[str, Path] | None = None,
) -> Path:
    """Export ``ensemble`` as version ``version`` of the model that ``release`` names; returns its folder.

    Args:
        parts: the artifacts of the release, for the files of ``serving.ops``.
        refresh: files to renew the items with, see `refresh_files`; without them they cannot be.
    """
    runtime = DataRuntime(inputs, release, serving, parts or {}, refresh or {})
    folder, _ = ensemble.export(repository, runtime=runtime, version=version, name=release.model)
    return Path(folder)
