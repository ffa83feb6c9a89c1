"""Where the release is that a caller means: a path, an artifact, or a config."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypeAlias

from ..config.pipeline import PipelineConfig
from ..core.artifact import MANIFEST, Artifact
from ..core.errors import ArtifactError
from ..ensemble.graph.graph_file import GRAPH, RELEASE
from ..ensemble.graph.ops.lookup_user import REPO_VARIABLE

Source: TypeAlias = str | Path | Artifact | PipelineConfig
"""A config whose export was published, an export artifact, or a folder: a model repository, one of its models, or one
of their versions."""
RUN = "cascade.run(config) makes one"


def locate(source: Source) -> tuple[Path, str | None]:
    """The version folder of the model, and the Feast repository that belongs to it, if that is known.

    Raises:
        ArtifactError: there is no release, or there are several models.
    """
    if isinstance(source, PipelineConfig):
        export = source.export
        folder = Path(export.repository) / export.model_name / str(export.version)
        if not (folder / GRAPH).is_file():
            raise ArtifactError(f"{folder}: no release, although export.repository says so; {RUN}")
        return folder, source.feature_store.repo
    if isinstance(source, Artifact):
        if source.kind != "export":
            raise ArtifactError(f"{source.path}: is an artifact of stage {source.kind}, expected one of stage export")
        source = source.path
    folder = _version(Path(source))
    return folder, _recorded_repo(folder.parent.parent)


def _version(path: Path) -> Path:
    """The version folder at or below ``path``; of several versions of one model the highest, which Triton serves."""
    if not path.is_dir():
        raise ArtifactError(f"{path}: no such folder; {RUN}")
    graphs = [path / GRAPH] if (path / GRAPH).is_file() else [*path.glob(f"*/{GRAPH}"), *path.glob(f"*/*/{GRAPH}")]
    found = [graph.parent for graph in graphs if graph.with_name(RELEASE).is_file()]
    models = sorted({folder.parent.name for folder in found})
    if not found:
        raise ArtifactError(f"{path}: holds no release; {RUN}")
    if len(models) > 1:
        raise ArtifactError(f"{path}: holds the models {', '.join(models)}; give the folder of one of them")
    return max(found, key=lambda folder: (folder.name.isdigit() and int(folder.name), folder.name))


def _recorded_repo(folder: Path) -> str | None:
    """``feature_store.repo`` of the run that made the export artifact in ``folder``; None for any other folder."""
    record = folder.with_name(f"{folder.name}.json")
    if not (folder / MANIFEST).is_file() or not record.is_file():
        return None
    repo: str | None = json.loads(record.read_text())["sections"].get("feature_store", {}).get("repo")
    return repo


def default_repo() -> str:
    """The Feast repository where nothing else says which one: as the request graph reads it."""
    return os.environ.get(REPO_VARIABLE, "feature_repo")
