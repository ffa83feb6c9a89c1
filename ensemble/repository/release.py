"""A release: transforms, towers, ranker, item snapshot and index that belong together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...core.artifact import Artifact
from ...core.errors import ArtifactError


@dataclass(frozen=True)
class ReleaseManifest:
    """The content of release.json."""

    release: str
    """Id: a short hash of the parts and the settings. Every response has it."""
    created: str
    """UTC, ISO 8601."""
    model: str
    pipeline: str
    parts: Mapping[str, str]
    """Stage -> digest of its artifact."""
    notices: tuple[str, ...] = ()
    """What runs otherwise than configured, and why."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The serving section; empty in releases of earlier versions of this package."""
    refreshed: Mapping[str, Any] | None = None
    """Of a release whose items were renewed without training: ``from``, the id of the one before, and the numbers of
    items that are ``new``, ``changed`` and ``removed``."""

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, file: Path) -> ReleaseManifest:
        """The one that ``save`` wrote.

        Raises:
            ArtifactError: it is damaged.
        """
        try:
            raw = json.loads(file.read_text())
            return cls(**{**raw, "notices": tuple(raw["notices"])})
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{file}: damaged ({error!r}); delete {file.parent}") from error


def make_release(
    parts: Mapping[str, Artifact],
    *,
    model: str,
    pipeline: str,
    settings: Mapping[str, Any],
    notices: Iterable[str] = (),
) -> ReleaseManifest:
    """Pin ``parts`` (stage -> artifact) together.

    Args:
        settings: the serving section, on which the answers also depend; JSON can hold it.

    Raises:
        ArtifactError: if parts come from different releases.
    """
    check_parts(parts)
    pins = {stage: artifact.digest for stage, artifact in sorted(parts.items())}
    text = json.dumps([pins, dict(settings)], sort_keys=True)
    return ReleaseManifest(
        release=hashlib.sha256(text.encode()).hexdigest()[:12],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=model,
        pipeline=pipeline,
        parts=pins,
        notices=tuple(notices),
        settings=dict(settings),
    )


def check_parts(parts: Mapping[str, Artifact]) -> None:
    """Raise ArtifactError unless the parents of every part are exactly those in ``parts``."""
    for stage, artifact in parts.items():
        if artifact.kind != stage:
            raise ArtifactError(f"{stage}: expected an artifact of kind {stage!r}, got {artifact.kind!r}")
        for parent, digest in artifact.parents.items():
            if parent not in parts:
                raise ArtifactError(f"{stage}: was made from {parent} {digest[:12]}, which the release lacks")
            if parts[parent].digest != digest:
                have = parts[parent].digest[:12]
                raise ArtifactError(f"{stage}: was made from {parent} {digest[:12]}, the release holds {parent} {have}")
