"""Artifacts: finished folders with a ``manifest.json``, written under another name and renamed when complete."""

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
from .files import exchange

MANIFEST = "manifest.json"
RESUME = ".resume"
"""Suffix of the folder beside a run folder that holds checkpoints until the run is finished."""
CARD, CARD_DATA = "MODEL_CARD.md", "model_card.json"
NOT_IN_DIGEST = (MANIFEST, CARD, CARD_DATA)
"""Files that describe an artifact. The digest leaves them out."""


@dataclass(frozen=True)
class Artifact:
    """A finished folder."""

    path: Path
    kind: str
    """Name of the stage that wrote it."""
    digest: str
    """SHA-256 (hex) over the kind, the parents' digests and the content of every file but ``NOT_IN_DIGEST``.

    Two artifacts with the same digest hold the same bytes, made from the same parents.
    """
    parents: Mapping[str, str]
    """Parent stage -> digest of its artifact."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Relative name of each file that the digest covers -> its bytes."""

    @property
    def whole(self) -> bool:
        """Whether every file is there, with as many bytes as it was written with. Contents are not read."""
        return all(_size(self.path / name) == size for name, size in self.sizes.items())

    def check_content(self) -> None:
        """Raise ArtifactError unless every file holds what was written. Reads all of them."""
        if folder_digest(self.path, self.kind, self.parents) != self.digest:
            raise ArtifactError(
                f"{self.path}: a file has changed since it was written; delete this folder, and run `cascade run`, "
                "which makes it again"
            )

    @classmethod
    def load(cls, path: Path, kind: str | None = None) -> Artifact:
        """Read a finished artifact.

        Raises:
            ArtifactError: ``path`` has no manifest or a damaged one, or the artifact is of another kind.
        """
        file = Path(path) / MANIFEST
        if not file.is_file():
            raise ArtifactError(f"{path}: no {MANIFEST}, so this is not a finished artifact")
        try:
            artifact = cls(path=Path(path), **json.loads(file.read_text()))
        except (ValueError, TypeError) as error:
            raise ArtifactError(f"{file}: damaged ({error}); delete its folder, and run the stage again") from error
        if kind is not None and artifact.kind != kind:
            raise ArtifactError(f"{path}: expected an artifact of kind {kind!r}, found {artifact.kind!r}")
        return artifact


def write_artifact(
    path: Path,
    kind: str,
    parents: Mapping[str, Artifact],
    fill: Callable[[Path], Mapping[str, Any] | None],
    describe: Callable[[Artifact], None] | None = None,
) -> Artifact:
    """Let ``fill`` write the files into an unfinished folder, add the manifest, and rename it to ``path``.

    The folder ``path_beside(folder, RESUME)`` may hold checkpoints. It stays if the run fails or is killed, and is
    removed when the run is finished.

    Args:
        fill: called with the empty, unfinished folder; returns the metrics for the manifest.
        describe: called with the unfinished artifact; may write files of ``NOT_IN_DIGEST``.
    """
    unfinished = unfinished_path(path)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        metrics = dict(fill(unfinished) or {})
        pins = {name: parent.digest for name, parent in sorted(parents.items())}
        digest = folder_digest(unfinished, kind, pins)
        sizes = {name: file.stat().st_size for name, file in _files(unfinished)}
        artifact = Artifact(unfinished, kind, digest, pins, metrics, sizes)
        manifest = {k: v for k, v in asdict(artifact).items() if k != "path"}
        (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=1, default=str))
        if describe is not None:
            describe(artifact)
        replace_folder(unfinished, path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    shutil.rmtree(path.with_name(path.name + RESUME), ignore_errors=True)
    return Artifact.load(path, kind)


def unfinished_path(path: Path) -> Path:
    """The folder in which this process writes an artifact before it is renamed to ``path``."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def remove_unfinished(path: Path) -> None:
    """Remove what killed processes have left of ``path``. No process may be writing it now."""
    for left in path.parent.glob(f".{path.name}.*"):
        shutil.rmtree(left, ignore_errors=True)


def path_beside(unfinished: Path, suffix: str) -> Path | None:
    """``<run folder><suffix>``, for the unfinished folder that `write_artifact` hands to ``fill``.

    Returns:
        None for any other folder.
    """
    path = unfinished.with_name(unfinished.name.removeprefix(".").removesuffix(f".{os.getpid()}"))
    return path.with_name(path.name + suffix) if unfinished_path(path) == unfinished else None


def replace_folder(new: Path, path: Path) -> None:
    """Rename ``new`` to ``path``. A folder that was there before is deleted at the end.

    Where the file system can exchange two folders, ``path`` is one of them at every moment, even if this process is
    killed.
    """
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists() and exchange(new, path):
        new.rename(old)
    else:
        if path.exists():
            path.rename(old)
        new.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def folder_digest(folder: Path, kind: str, parents: Mapping[str, str]) -> str:
    """SHA-256 (hex) over kind, parents, and the relative name and content of each file but ``NOT_IN_DIGEST``."""
    sha = hashlib.sha256(json.dumps([kind, sorted(parents.items())]).encode())
    for name, file in _files(folder):
        sha.update(name.encode())
        with file.open("rb") as stream:
            sha.update(hashlib.file_digest(stream, "sha256").digest())
    return sha.hexdigest()


def _size(file: Path) -> int | None:
    """Bytes; None if there is no such file."""
    return file.stat().st_size if file.is_file() else None


def _files(folder: Path) -> list[tuple[str, Path]]:
    """The files that the digest covers, by their relative names, in order."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name not in NOT_IN_DIGEST)
    return [(str(file.relative_to(folder)), file) for file in files]
