"""The export stage: from the artifacts of a release to a version of the model that Triton serves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ..core.artifact import Artifact, replace_folder
from ..core.stage import Sections, Stage
from ..workflows.config import FeatureStoreConfig
from .config import ExportConfig, ServingConfig
from .executor import RELEASE

CONFIG = "config.pbtxt"


def fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> Mapping[str, Any]:
    """Write ``<model_name>/config.pbtxt`` and ``<model_name>/<version>/``.

    Raises:
        ArtifactError: if the parts come from different releases.
        WiringError: if a step does not find what it reads.
    """
    from .export import export
    from .graph import request_graph
    from .release import make_release
    from .steps import steps_of

    config, serving = cast(ExportConfig, sections["export"]), cast(ServingConfig, sections["serving"])
    store = cast(FeatureStoreConfig, sections["feature_store"])
    release = make_release(
        parents,
        model=config.model_name,
        pipeline=store.project or config.model_name,
        settings=serving.model_dump(mode="json"),
        notices=[notice for part in parents.values() for notice in part.metrics.get("notices", [])],
    )
    steps, inputs = steps_of(parents, serving, store, release.release)
    graph = request_graph(steps, inputs)
    version = export(graph, folder, inputs, release, version=config.version, max_batch_size=serving.max_batch_size)
    size = sum(file.stat().st_size for file in version.rglob("*") if file.is_file())
    return {"release": release.release, "version": config.version, "mib": round(size / 2**20, 1)}


def publish(artifact: Artifact, sections: Sections) -> None:
    """Copy the artifact's models into ``export.repository``, unless they are there."""
    repository = Path(cast(ExportConfig, sections["export"]).repository)
    for model in sorted(file.parent for file in artifact.path.glob(f"*/{CONFIG}")):
        install(model, repository / model.name)


def install(model: Path, target: Path) -> None:
    """Copy the versions of ``model`` into ``target``, each aside and then renamed; its other versions stay.

    A version whose release.json is the same is there already and is not copied.
    """
    target.mkdir(parents=True, exist_ok=True)
    for version in sorted(file.parent for file in model.glob(f"*/{RELEASE}")):
        if not same(version / RELEASE, target / version.name / RELEASE):
            aside = target / f".{version.name}.{os.getpid()}"
            shutil.rmtree(aside, ignore_errors=True)
            shutil.copytree(version, aside)
            replace_folder(aside, target / version.name)
    if not same(model / CONFIG, target / CONFIG):
        aside = target / f".{CONFIG}.{os.getpid()}"
        shutil.copyfile(model / CONFIG, aside)
        aside.replace(target / CONFIG)


def same(left: Path, right: Path) -> bool:
    """Whether both files are there and hold the same bytes."""
    return right.is_file() and left.read_bytes() == right.read_bytes()


EXPORT = Stage(
    name="export",
    help="Export the request graph as a Triton model.",
    sections=("schema", "history", "serving", "export", "feature_store"),
    parents=("data", "etl", "features", "two_tower", "index", "ranker"),
    fill=fill,
    publish=publish,
)
