"""The inputs of a run, stored beside its folder, so that the next plan can tell what has changed.

They are not inside the folder, because the artifact's digest covers its content: equal files that were made with
different settings are the same artifact for the stages that follow.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.artifact import Artifact
from ..core.stage import Sections, Stage


@dataclass(frozen=True)
class RunRecord:
    """The inputs of one run."""

    version: int
    sections: Mapping[str, Any]
    """Key of a section -> its values."""
    parents: Mapping[str, str]
    """Parent stage -> digest of its artifact."""
    finished: float
    """Seconds since the epoch."""

    @classmethod
    def of(cls, stage: Stage, sections: Sections, artifact: Artifact) -> RunRecord:
        """The record of a run that ends now."""
        values = {key: section.model_dump(mode="json") for key, section in sections.items()}
        return cls(stage.version, values, artifact.parents, time.time())

    def save(self, folder: Path) -> None:
        """Write ``<run folder>.json``."""
        folder.with_name(f"{folder.name}.json").write_text(json.dumps(asdict(self), indent=1, sort_keys=True))

    @classmethod
    def newest(cls, folder: Path) -> RunRecord | None:
        """The record of the newest run in the folder of a stage, or None."""
        records = [cls(**json.loads(file.read_text())) for file in folder.glob("*.json")]
        return max(records, key=lambda record: record.finished, default=None)


def changes(record: RunRecord, stage: Stage, sections: Sections, parents: Mapping[str, str]) -> list[str]:
    """How the inputs of a stage differ from those of an earlier run, in words.

    Args:
        parents: parent stage -> digest of its current artifact.
    """
    now = {key: section.model_dump(mode="json") for key, section in sections.items()}
    old_values, new_values = _flat(record.sections), _flat(now)
    found = [
        f"{key}: {old_values.get(key, 'absent')} -> {new_values.get(key, 'absent')}"
        for key in sorted(old_values.keys() | new_values.keys())
        if old_values.get(key) != new_values.get(key)
    ]
    found += [f"{name} has changed" for name, digest in parents.items() if record.parents.get(name) != digest]
    if record.version != stage.version:
        found.append(f"the stage's code has changed (version {record.version} -> {stage.version})")
    return found


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted key -> value as JSON."""
    flat: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = json.dumps(value)
    return flat
