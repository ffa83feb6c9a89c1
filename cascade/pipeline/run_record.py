"""The inputs of a run, stored beside its folder, so that the next plan can tell what has changed.

They are not inside the folder, because the artifact's digest covers its content: equal files that were made with
different settings are the same artifact for the stages that follow.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ..core.artifact import Artifact
from ..core.errors import ArtifactError
from ..core.files import write_text
from ..core.section import stored
from ..core.stage import Sections, Stage

SHOWN_FILES, SHOWN_KEYS = 3, 5
"""Changes to name; the rest is counted."""


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
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name of what else the stage read -> the fields of `cascade.core.inputs.StageInput`."""

    @classmethod
    def of(cls, stage: Stage, sections: Sections, artifact: Artifact) -> RunRecord:
        """The record of a run that ends now."""
        values = {key: stored(section) for key, section in sections.items()}
        inputs = {name: asdict(entry) for name, entry in stage.inputs_of(sections).items()}
        return cls(stage.version, values, artifact.parents, time.time(), inputs)

    def save(self, folder: Path) -> None:
        """Write ``<run folder>.json``, at once for those who read it meanwhile."""
        write_text(folder.with_name(f"{folder.name}.json"), json.dumps(asdict(self), indent=1, sort_keys=True))

    @classmethod
    def load(cls, file: Path) -> RunRecord:
        """The record in a file.

        Raises:
            ArtifactError: it is damaged.
        """
        try:
            return cls(**json.loads(file.read_text()))
        except (ValueError, TypeError) as error:
            raise ArtifactError(f"{file}: damaged ({error}); delete this file, and run again") from error


def changes(record: RunRecord, stage: Stage, sections: Sections, parents: Mapping[str, str]) -> list[str]:
    """How the inputs of a stage differ from those of an earlier run, in words.

    Args:
        parents: parent stage -> digest of its current artifact.
    """
    now = {key: stored(section) for key, section in sections.items()}
    old_values, new_values = _flat(record.sections), _flat(now)
    changed = [
        f"{key}: {old_values.get(key, 'absent')} -> {new_values.get(key, 'absent')}"
        for key in sorted(old_values.keys() | new_values.keys())
        if old_values.get(key) != new_values.get(key)
    ]
    files = _changed_inputs(record.inputs, {name: asdict(entry) for name, entry in stage.inputs_of(sections).items()})
    found = [*_first(changed, SHOWN_KEYS, "keys"), *_first(files, SHOWN_FILES, "files")]
    found += [f"{name} has changed" for name, digest in parents.items() if record.parents.get(name) != digest]
    if record.version != stage.version:
        found.append(f"the stage's code has changed (version {record.version} -> {stage.version})")
    return found


def _first(lines: list[str], count: int, what: str) -> list[str]:
    rest = len(lines) - count
    return [*lines[:count], *([f"{rest} more {what} have changed"] if rest > 0 else [])]


def _changed_inputs(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each input that is new, gone or another."""
    return [
        f"{name} {_what_happened(old.get(name), new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name, {}).get("digest") != new.get(name, {}).get("digest")
    ]


def _what_happened(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    if old is None or new is None:
        return "is new" if old is None else "is gone"
    if old["size"] is None or new["size"] is None:
        return "has changed"
    when = datetime.fromtimestamp(new["modified"]).astimezone().isoformat(" ", "minutes")
    return f"has changed ({old['size']:,} -> {new['size']:,} bytes, written {when})"


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted key -> value as JSON."""
    flat: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = json.dumps(value)
    return flat
