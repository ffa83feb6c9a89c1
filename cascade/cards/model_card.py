"""Model cards (Mitchell et al. 2019): how a trained artifact was made, how good it is, and what it is not for.

A card is written together with its artifact and shows only numbers of manifests. Since an artifact never changes,
`cascade show` adds the metrics of a later evaluation.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..core.artifact import CARD, CARD_DATA, Artifact
from ..core.section import Section, stored
from .page import as_markdown
from .texts import TEXTS, has_card

PACKAGES = (
    "merlin-cascade",
    "merlin-models",
    "merlin-systems",
    "nvtabular",
    "tensorflow",
    "tensorflow-cpu",
    "tf-keras",
    "onnx",
    "onnxruntime",
    "faiss-cpu",
    "numpy",
)
PARTS = {"export": ("two_tower", "ranker")}
"""Kind -> the trained parents whose figures its card repeats."""


def write_card(artifact: Artifact, stage_version: int, lineage: Mapping[str, Artifact], sections: Any) -> None:
    """Write the card into the artifact's folder, if its kind has one.

    Args:
        lineage: stage name -> artifact, for all stages that this artifact depends on.
        sections: key -> section, for all config sections that it depends on.
    """
    if has_card(artifact):
        card = card_of(artifact, stage_version, lineage, sections)
        (artifact.path / CARD_DATA).write_text(json.dumps(card, indent=1))
        (artifact.path / CARD).write_text(as_markdown(card))


def card_of(
    artifact: Artifact, stage_version: int, lineage: Mapping[str, Artifact], sections: Mapping[str, Section]
) -> dict[str, Any]:
    """The card as plain data; the arguments are those of `write_card`."""
    text = TEXTS[artifact.kind]
    parts = {name: lineage[name] for name in PARTS.get(artifact.kind, ()) if name in lineage}
    return {
        "title": text.title,
        "tags": list(text.tags),
        "kind": artifact.kind,
        "digest": artifact.digest,
        "stage_version": stage_version,
        "lineage": {name: part.digest for name, part in lineage.items()},
        "data": dict(lineage["data"].metrics) if "data" in lineage else {},
        "config": {key: stored(section) for key, section in sections.items()},
        **figures(artifact.metrics),
        "parts": {name: figures(part.metrics) for name, part in parts.items()},
        "use": list(text.use),
        "limits": text.limits(sections, artifact.metrics),
        "packages": packages(),
    }


def figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of a manifest in three groups: training, validation, notices."""
    valid = {name: value for name, value in metrics.items() if name.startswith("valid_")}
    rest = {name: value for name, value in metrics.items() if name not in valid and name != "notices"}
    return {"training": rest, "validation": valid, "notices": list(metrics.get("notices", []))}


def packages() -> dict[str, str]:
    """Installed versions of Python and of the packages that train and export models."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
