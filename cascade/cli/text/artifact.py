"""An artifact as `cascade show` prints it: its manifest, its model card, and its newest evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...cards.page import as_markdown, data_rows, shown
from ...cards.texts import has_card
from ...core.artifact import CARD_DATA, Artifact
from ...core.errors import ArtifactError
from ...core.files import read_json
from ...core.text_table import table
from .evaluation import metrics_table

EVALUATION = "evaluation"


def describe(artifact: Artifact) -> dict[str, Any]:
    """Manifest, model card and evaluation as plain data. ``card`` and ``evaluation`` are None if there is none."""
    card = artifact.path / CARD_DATA
    evaluation = newest_evaluation(artifact)
    return {
        "path": str(artifact.path),
        "kind": artifact.kind,
        "digest": artifact.digest,
        "parents": dict(artifact.parents),
        "metrics": dict(artifact.metrics),
        "has_card": has_card(artifact),
        "card": read_json(card) if card.is_file() else None,
        "evaluation": dict(evaluation.metrics) if evaluation else None,
        "evaluated_by": str(evaluation.path) if evaluation else None,
    }


def as_text(found: Mapping[str, Any]) -> str:
    """The model card, or else the manifest, followed by the evaluation. Of an evaluation, its tables."""
    if found["kind"] == EVALUATION:
        return f"{metrics_table(found['metrics'])}\n\nartifact: {found['path']}"
    parts = [as_markdown(found["card"]).rstrip() if found["card"] else _manifest(found)]
    if found["has_card"] and not found["card"]:
        parts.append("It has no model card, because it was made by an older version: `cascade run --force` writes one.")
    if found["evaluation"]:
        parts.append(f"## Test part\n\nMeasured through the served graph, see {found['evaluated_by']}.")
        parts.append(metrics_table(found["evaluation"]))
    elif found["has_card"]:
        parts.append("## Test part\n\nNot measured yet: `cascade evaluate`.")
    return "\n\n".join([*parts, f"artifact: {found['path']}"])


def newest_evaluation(artifact: Artifact) -> Artifact | None:
    """The newest evaluation in the same runs folder that has this artifact as a parent, or None."""
    runs = artifact.path.resolve().parent.parent / EVALUATION
    known = (one for one in _artifacts(runs) if one.parents.get(artifact.kind) == artifact.digest)
    return max(known, key=lambda one: one.path.stat().st_mtime, default=None)


def _artifacts(folder: Path) -> Iterator[Artifact]:
    for path in sorted(folder.glob("*")):
        try:
            yield Artifact.load(path, EVALUATION)
        except ArtifactError:  # a run record, or a folder that another process is filling
            continue


def _manifest(found: Mapping[str, Any]) -> str:
    rows = [("digest", found["digest"]), *((f"parent {name}", digest) for name, digest in found["parents"].items())]
    metrics = [(name, shown(value)) for name, value in data_rows(found["metrics"])]
    return f"{found['kind']}\n{table(('', ''), [*rows, *metrics])}"
