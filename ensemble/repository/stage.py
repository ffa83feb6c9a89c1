"""The export stage: from the artifacts of a release to a version of the model that Triton serves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from ...core.artifact import Artifact, replace_folder
from ...core.errors import ConfigError
from ...core.files import link_or_copy
from ...core.memory import MemoryNeed
from ...core.stage import Sections, Stage
from ...workflows.config import FeatureStoreConfig
from ..config import ExportConfig, ServingConfig, pipeline_name
from ..graph.graph_file import RELEASE
from .layout import CONFIG
from .release import ReleaseManifest


def fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> Mapping[str, Any]:
    """Write ``<model_name>/config.pbtxt`` and ``<model_name>/<version>/``; the same for each step of an ensemble.

    Raises:
        ArtifactError: if the parts come from different releases.
        WiringError: if a step does not find a column that it reads.
    """
    from ..graph.request_graph import request_graph
    from .export import export
    from .ranker_choice import choose_ranker
    from .release import make_release
    from .steps import release_steps

    config, serving = cast(ExportConfig, sections["export"]), cast(ServingConfig, sections["serving"])
    store = cast(FeatureStoreConfig, sections["feature_store"])
    of_parts = [notice for part in parents.values() for notice in part.metrics.get("notices", [])]
    release = make_release(
        parents,
        model=config.model_name,
        pipeline=_name(sections),
        settings=serving.model_dump(mode="json"),
        notices=[*of_parts, *choose_ranker(parents, serving.ranker).notices],
    )
    work = folder / ".work"
    work.mkdir()
    steps, inputs = release_steps(parents, serving, store, release.release, work)
    graph = request_graph(steps, inputs)
    export(graph, folder, inputs, release, version=config.version, serving=serving, parts=parents)
    shutil.rmtree(work)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {
        "release": release.release,
        "version": config.version,
        "layout": serving.layout,
        "backend": serving.backend,
        "mib": round(size / 2**20, 1),
        "notices": list(release.notices),
    }


def check(sections: Sections, parents: Mapping[str, Artifact]) -> None:
    """What would stop the export, before anything is trained.

    Raises:
        ConfigError: an op of ``serving.ops`` has wrong parameters, or the model of another pipeline is in the place.
    """
    from .extra_ops import made

    check_place(sections)
    for at, config in enumerate(cast(ServingConfig, sections["serving"]).ops):
        made(config, f"serving.ops[{at}]")


def check_place(sections: Sections) -> None:
    """Check that a release of another pipeline is not in the place of this one's.

    Raises:
        ConfigError: naming the keys.
        ArtifactError: a release is damaged.
    """
    config = cast(ExportConfig, sections["export"])
    own, place = _name(sections), Path(config.repository) / config.model_name
    for file in sorted(place.glob(f"*/{RELEASE}")):
        if (other := ReleaseManifest.load(file).pipeline) != own:
            raise ConfigError(
                f"export.model_name: {file.parent} is a release of the pipeline {other!r}, this is {own!r}. Give this "
                "one another export.model_name or export.repository; or delete the folder, if nobody needs it"
            )


def _name(sections: Sections) -> str:
    return pipeline_name(cast(FeatureStoreConfig, sections["feature_store"]), cast(ExportConfig, sections["export"]))


def memory(sections: Sections, parents: Mapping[str, Artifact]) -> MemoryNeed:
    """The item parts of the ranker; other files are linked or copied."""
    split, config = parents["ranker"].metrics["split"], cast(ServingConfig, sections["serving"]).ranker
    items = len(np.load(parents["etl"].path / "item_counts.npy", mmap_mode="r"))
    size = 0 if split is None else 4 * items * sum(split["widths"].values())
    size = size if config.split == "auto" and size <= config.item_part_mb * 2**20 else 0
    return MemoryNeed({f"item parts of {items:,} items": size}, "lower serving.ranker.item_part_mb")


def publish(artifact: Artifact, sections: Sections) -> None:
    """Place the artifact's models in ``export.repository``, unless they are there already.

    Raises:
        ConfigError: the model of another pipeline is there.
    """
    check_place(sections)
    repository = Path(cast(ExportConfig, sections["export"]).repository)
    served = cast(ExportConfig, sections["export"]).model_name
    models = sorted(file.parent.name for file in artifact.path.glob(f"*/{CONFIG}"))
    for model in sorted(models, key=lambda name: name == served):  # steps come before their ensemble
        install(artifact.path / model, repository / model)


def install(model: Path, target: Path) -> None:
    """Place the versions of ``model`` in ``target``. Each is written beside its place and then renamed.

    Other versions in ``target`` stay, and so does a version with the same release.json.
    """
    target.mkdir(parents=True, exist_ok=True)
    for version in sorted(file.parent for file in model.glob(f"*/{RELEASE}")):
        if not same(version / RELEASE, target / version.name / RELEASE):
            aside = target / f".{version.name}.{os.getpid()}"
            shutil.rmtree(aside, ignore_errors=True)
            link_or_copy(version, aside)
            replace_folder(aside, target / version.name)
    if not same(model / CONFIG, target / CONFIG):
        aside = target / f".{CONFIG}.{os.getpid()}"
        shutil.copyfile(model / CONFIG, aside)
        aside.replace(target / CONFIG)


def same(left: Path, right: Path) -> bool:
    """Whether ``right`` exists and holds the same bytes as ``left``."""
    return right.is_file() and left.read_bytes() == right.read_bytes()


EXPORT = Stage(
    name="export",
    help="Export the request graph as a Triton model.",
    sections=("schema", "history", "serving", "export", "feature_store"),
    parents=("data", "etl", "features", "two_tower", "index", "ranker"),
    fill=fill,
    check=check,
    memory=memory,
    publish=publish,
    version=7,
)
