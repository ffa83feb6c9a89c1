"""Artifacts: a finished folder plus ``manifest.json``, written aside and renamed when complete."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .errors import ArtifactError

MANIFEST = "manifest.json"
RESUME = ".resume"
"""Suffix of what is kept beside a run folder until it is finished."""
CARD, CARD_DATA = "MODEL_CARD.md", "model_card.json"
ABOUT = (MANIFEST, CARD, CARD_DATA)
"""Files that tell of an artifact and are not part of what it is: the digest leaves them out."""


@dataclass(frozen=True)
class Artifact:
    """A finished folder.

    ``digest`` is the SHA-256 over the kind, the parents' digests and every file's content, so two artifacts with
    the same digest hold the same bytes from the same origin. Manifest and model card are left out: they tell of it.
    """

    path: Path
    kind: str
    digest: str
    parents: Mapping[str, str]
    """Parent stage name -> its digest."""
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, kind: str | None = None) -> Artifact:
        """Read a finished artifact.

        Raises:
            ArtifactError: if there is no manifest in ``path`` or it is of another kind.
        """
        file = Path(path) / MANIFEST
        if not file.is_file():
            raise ArtifactError(f"{path}: no {MANIFEST}, so this is not a finished artifact")
        manifest = json.loads(file.read_text())
        if kind is not None and manifest["kind"] != kind:
            raise ArtifactError(f"{path}: expected an artifact of kind {kind!r}, found {manifest['kind']!r}")
        return cls(path=Path(path), **manifest)


def write_artifact(
    path: Path,
    kind: str,
    parents: Mapping[str, Artifact],
    fill: Callable[[Path], Mapping[str, Any] | None],
    describe: Callable[[Artifact], None] | None = None,
) -> Artifact:
    """Let ``fill`` write into a folder aside, add the manifest, and rename it to ``path`` in one step.

    What ``fill`` keeps in ``beside(folder, RESUME)`` outlives a run that fails or is killed; one that ends removes it.

    Args:
        fill: called with the empty folder; returns the metrics for the manifest.
        describe: called with the artifact while it is still aside; may add what is in ``ABOUT``.
    """
    aside = aside_of(path)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        metrics = dict(fill(aside) or {})
        pins = {name: parent.digest for name, parent in sorted(parents.items())}
        digest = folder_digest(aside, kind, pins)
        artifact = Artifact(aside, kind, digest, pins, metrics)
        manifest = {k: v for k, v in asdict(artifact).items() if k != "path"}
        (aside / MANIFEST).write_text(json.dumps(manifest, indent=1, default=str))
        if describe is not None:
            describe(artifact)
        replace_folder(aside, path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    shutil.rmtree(path.with_name(path.name + RESUME), ignore_errors=True)
    return Artifact.load(path, kind)


def aside_of(path: Path) -> Path:
    """Where an artifact is made before it is renamed to ``path``."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def beside(aside: Path, suffix: str) -> Path | None:
    """``<run folder><suffix>``, for the folder that ``write_artifact`` hands to ``fill``; None for any other folder."""
    path = aside.with_name(aside.name.removeprefix(".").removesuffix(f".{os.getpid()}"))
    return path.with_name(path.name + suffix) if aside_of(path) == aside else None


def replace_folder(aside: Path, path: Path) -> None:
    """Move ``aside`` to ``path``; what was there before disappears only after it has been renamed away."""
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        path.rename(old)
    aside.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def folder_digest(folder: Path, kind: str, parents: Mapping[str, str]) -> str:
    """SHA-256 (hex) over kind, parents and the relative name and content of every file in ``folder``."""
    sha = hashlib.sha256(json.dumps([kind, sorted(parents.items())]).encode())
    for file in sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in ABOUT):
        sha.update(str(file.relative_to(folder)).encode())
        with file.open("rb") as stream:
            sha.update(hashlib.file_digest(stream, "sha256").digest())
    return sha.hexdigest()
