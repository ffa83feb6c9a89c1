"""Where the release is that a caller means: a path, an artifact, or a config."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ..config.pipeline import PipelineConfig
from ..core.artifact import MANIFEST, Artifact
from ..core.errors import ArtifactError, CascadeError, ConfigError
from ..ensemble.graph.ops.lookup_user import REPO_VARIABLE
from ..ensemble.protocol.config_file import served_version
from ..ensemble.protocol.release_names import GRAPH, RELEASE

Source: TypeAlias = str | Path | Artifact | PipelineConfig
"""A config whose export was published, an export artifact, or a folder: a model repository, one of its models, or one
of their versions."""
RUN = "cascade.run(config) makes one"
RUNS = Path("runs")
"""Where `cascade.run` keeps its artifacts by default."""

log = logging.getLogger(__name__)


def locate(source: Source) -> tuple[Path, str | None]:
    """The version folder of the model, and the Feast repository that belongs to it, if that is known.

    Raises:
        ArtifactError: there is no release, there are several models, or the repository of a config holds the release
            of another one.
        ConfigError: ``source`` is none of these.
    """
    if isinstance(source, PipelineConfig):
        export = source.export
        folder = Path(export.repository) / export.model_name / str(export.version)
        if not (folder / GRAPH).is_file():
            raise ArtifactError(f"{folder}: no release, although export.repository says so; {RUN}")
        _check_published(source, folder)
        return folder, source.feature_store.repo
    if isinstance(source, Artifact):
        if source.kind != "export":
            raise ArtifactError(f"{source.path}: is an artifact of stage {source.kind}, expected one of stage export")
        source = source.path
    if not isinstance(source, (str, os.PathLike)):
        raise ConfigError(f"source: expected a config, an export artifact or a folder, got {source!r}")
    folder = _version(Path(source))
    return folder, _recorded_repo(folder.parent.parent)


def _version(path: Path) -> Path:
    """The version folder at or below ``path``; of several versions of one model the one that a server serves."""
    if not path.is_dir():
        raise ArtifactError(f"{path}: no such folder; {RUN}")
    version = Path(os.path.abspath(path))  # "." and "1" do not name the model
    if version.name.isdecimal() and (version / GRAPH).is_file():
        return version
    graphs = [*path.glob(f"*/{GRAPH}"), *path.glob(f"*/*/{GRAPH}")]
    found = [graph.parent for graph in graphs if graph.parent.name.isdecimal() and graph.with_name(RELEASE).is_file()]
    models = sorted({folder.parent.name for folder in found})
    if not found:
        raise ArtifactError(f"{path}: holds no release; {RUN}")
    if len(models) > 1:
        raise ArtifactError(f"{path}: holds the models {', '.join(models)}; give the folder of one of them")
    served = served_version(found[0].parent)
    return max(found, key=lambda folder: (int(folder.name) == served, int(folder.name)))


def _recorded_repo(folder: Path) -> str | None:
    """``feature_store.repo`` of the run that made the export artifact in ``folder``; None for any other folder."""
    record = folder.with_name(f"{folder.name}.json")
    if not (folder / MANIFEST).is_file() or not record.is_file():
        return None
    try:
        repo: str | None = json.loads(record.read_text())["sections"].get("feature_store", {}).get("repo")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{record}: damaged ({error!r}); delete this file, and pass feature_repo=") from error
    return repo


def _check_published(config: PipelineConfig, folder: Path) -> None:
    """Raise ArtifactError if ``RUNS`` holds the export of this config, and ``folder`` another release."""
    from ..pipeline.stages import find

    if not (RUNS / "export").is_dir():
        return
    try:
        export = find(config, RUNS, "export").path
    except (CascadeError, OSError, ValueError):  # not run here with this config, so there is nothing to compare
        return
    own = _manifest(export / folder.parent.name / folder.name).get("release")
    published = _manifest(folder).get("release")
    if own and published and own != published:
        raise ArtifactError(
            f"{folder}: holds release {published}, but this config's export is release {own}; publish it with "
            'cascade.run(config, only="export")'
        )


def _manifest(folder: Path) -> dict[str, Any]:
    """What release.json says; empty if it cannot be read, which loading the release reports."""
    try:
        return dict(json.loads((folder / RELEASE).read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def warn_of_other_features(folder: Path, repo: str | Path) -> None:
    """Log a warning if the store in ``repo`` was written from another features artifact than the release's."""
    manifest = _manifest(folder)
    expected = manifest.get("parts", {}).get("features")
    try:
        stored = json.loads((Path(repo) / "data" / f"{manifest.get('pipeline')}.json").read_text())["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if expected and stored != expected:
        log.warning("%s: holds features %s, the release was made with %s", repo, stored[:12], expected[:12])


def features_of(release: Mapping[str, Any], folder: Path | None) -> Path | None:
    """The features artifact that a release was made with; None if it is not here.

    It is looked for in ``RUNS``, and in the folder of the run whose export artifact was opened.

    Args:
        release: what release.json says.
        folder: the version folder that was opened.
    """
    wanted = release.get("parts", {}).get("features")
    places = [RUNS, *([folder.parents[3]] if folder and len(folder.parents) > 3 else [])]
    manifests = (file for place in places for file in sorted(place.glob(f"features/*/{MANIFEST}")))
    return next((file.parent for file in manifests if json.loads(file.read_text())["digest"] == wanted), None)


def hint_of_repo(source: Source, given: str | Path | None, recorded: str | None) -> str:
    """What to add to an error if the run that made an artifact names a feature repository that is not found here."""
    if given or isinstance(source, PipelineConfig) or recorded is None or Path(recorded).is_dir():
        return ""
    return f"; {recorded} is relative to the folder of the run that made the artifact: pass feature_repo="


def connection_of(source: Source) -> str | None:
    """The connection string of Redis that a config names, with its password, which no release holds."""
    return source.feature_store.connection if isinstance(source, PipelineConfig) else None


def default_repo() -> str:
    """The Feast repository where nothing else says which one: as the request graph reads it."""
    return os.environ.get(REPO_VARIABLE, "feature_repo")
