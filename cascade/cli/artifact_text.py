"""An artifact as `cascade show` prints it: its manifest, its model card, and an evaluation that used it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..cards.page import as_markdown, flat, shown
from ..cards.texts import has_card
from ..core.artifact import CARD_DATA, Artifact
from ..core.errors import ArtifactError
from ..core.text_table import table
from .text import metrics_table

EVALUATION = "evaluation"


def describe(artifact: Artifact) -> dict[str, Any]:
    """Manifest, card and evaluation as plain data; the latter two where there are any."""
    card = artifact.path / CARD_DATA
    evaluation = newest_evaluation(artifact)
    return {
        "path": str(artifact.path),
        "kind": artifact.kind,
        "digest": artifact.digest,
        "parents": dict(artifact.parents),
        "metrics": dict(artifact.metrics),
        "has_card": has_card(artifact),
        "card": json.loads(card.read_text()) if card.is_file() else None,
        "evaluation": dict(evaluation.metrics) if evaluation else None,
        "evaluated_by": str(evaluation.path) if evaluation else None,
    }


def as_text(found: Mapping[str, Any]) -> str:
    """The card, or the manifest of what carries none, and the evaluation."""
    parts = [as_markdown(found["card"]).rstrip() if found["card"] else _manifest(found)]
    if found["has_card"] and not found["card"]:
        parts.append("It has no model card: it was made before there were any, `cascade run --force` makes it again.")
    if found["evaluation"]:
        parts.append(f"## Test part\n\nMeasured through the served graph, see {found['evaluated_by']}.")
        parts.append(metrics_table(found["evaluation"]))
    elif found["has_card"]:
        parts.append("## Test part\n\nNot measured yet: `cascade evaluate`.")
    return "\n\n".join([*parts, f"artifact: {found['path']}"])


def newest_evaluation(artifact: Artifact) -> Artifact | None:
    """The last evaluation, beside the artifact's stage, that had this very artifact as a parent."""
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
    metrics = [(name, shown(value)) for name, value in flat(found["metrics"])]
    return f"{found['kind']}\n{table(('', ''), [*rows, *metrics])}"
