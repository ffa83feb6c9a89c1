"""The export stage: from the artifacts of a release to a version of the model that Triton serves."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from ...core.artifact import Artifact
from ...core.memory import MemoryNeed
from ...core.stage import Sections, Stage
from ...workflows.config import FeatureStoreConfig, TextConfig
from ..config import ExportConfig, ServingConfig, pipeline_name
from .owner import Owner, check_owner


def fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> Mapping[str, Any]:
    """Write ``<model_name>/config.pbtxt`` and ``<model_name>/<version>/``; the same for each step of an ensemble.

    Raises:
        ArtifactError: if the parts come from different releases, or a file of one has changed since it was written.
        WiringError: if a step does not find a column that it reads.
    """
    from ..graph.request_graph import request_graph
    from .export import export
    from .golden import record_golden
    from .ranker_choice import choose_ranker
    from .refresh_files import refresh_files
    from .release import make_release
    from .steps import release_steps

    for name, part in parents.items():
        if name != "data":  # of its tables only hashes are exported
            part.check_content()
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
    refresh = refresh_files(parents, serving, cast(TextConfig, sections["etl.text"]), work)
    version = export(
        graph, folder, inputs, release, version=config.version, serving=serving, parts=parents, refresh=refresh
    )
    if config.golden_requests:
        record_golden(version, parents, config.golden_requests)
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

    export = cast(ExportConfig, sections["export"])
    check_owner(Path(export.repository) / export.model_name, Owner.of(_name(sections), parents["data"]))
    for at, config in enumerate(cast(ServingConfig, sections["serving"]).ops):
        made(config, f"serving.ops[{at}]")


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
    from .publication import publish

    publish(artifact, cast(ExportConfig, sections["export"]), Owner.of(_name(sections), artifact))


def unpublished(artifact: Artifact, sections: Sections) -> list[str]:
    """How what is in ``export.repository`` differs from the artifact, in words; empty if it does not.

    Raises:
        ConfigError: the model of another pipeline is there.
    """
    from .publication import differences

    config = cast(ExportConfig, sections["export"])
    check_owner(Path(config.repository) / config.model_name, Owner.of(_name(sections), artifact))
    return differences(artifact, config)


EXPORT = Stage(
    name="export",
    help="Export the request graph as a Triton model.",
    sections=("schema", "etl.text", "history", "serving", "export", "feature_store"),
    parents=("data", "etl", "features", "two_tower", "index", "ranker"),
    fill=fill,
    check=check,
    memory=memory,
    publish=publish,
    unpublished=unpublished,
    version=12,
)
