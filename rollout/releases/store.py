"""The releases of a model that are kept, each in a folder of its own that is never written to again."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.artifact import replace_folder
from ...core.disk import disk_errors
from ...core.errors import ArtifactError, ReleaseError, ServerError
from ...core.files import link_or_copy
from ...ensemble.protocol.config_file import served_version
from ...ensemble.protocol.release_names import RELEASE
from ...ensemble.repository.digests import CHECKED_BYTES
from ...ensemble.repository.release import ReleaseManifest
from .live_set import LiveSets
from .places import releases_folder
from .release_files import check_release, contents, models_in, read_manifest, version_folder
from .writer_lock import only_writer

WAIT_S = 60.0
"""Seconds that a change of the store waits for another one, which may copy gigabytes."""


_ROLLBACK = "a rollback would bring it back"


@dataclass(frozen=True)
class StoredRelease:
    """A release that is kept."""

    id: str
    created: str
    """When it was exported: UTC, ISO 8601."""
    pipeline: str
    version: int
    """Version of the Triton model."""
    layout: str
    """``fused`` or ``ensemble``."""
    bytes: int
    """Size of its files. Large ones are hard links to those of the artifact and of other releases."""
    notices: Sequence[str]
    """What runs otherwise than configured, and why."""
    parts: Mapping[str, str]
    """Stage -> digest of its artifact."""
    refreshed: Mapping[str, Any] | None = None
    """See `ReleaseManifest`."""


class ReleaseStore:
    """Keeps the releases of a model in ``<repository>/<model>/.releases/``.

    The folder of a release is a model repository of its own: the model, and the steps of an ensemble.

    Args:
        repository: the model repository, ``export.repository``.
        model: ``export.model_name``.
        wait_s: seconds that a change waits for a change of another process.
    """

    def __init__(self, repository: Path, model: str, wait_s: float = WAIT_S) -> None:
        self.repository, self.model, self._wait_s = repository, model, wait_s
        self.place = releases_folder(repository, model)

    def add(self, models: Path) -> str:
        """Keep the release of an export artifact.

        Nothing happens if it is kept already. If what is kept is damaged, or was written by another version of this
        package, the same release takes its place in one step.

        Args:
            models: the artifact's folder, with a folder for each model.

        Returns:
            the id of the release.

        Raises:
            ArtifactError: a file of the artifact is missing or damaged.
            ReleaseError: another process is changing the releases.
            DiskError: the disk is full; nothing of the release stays.
        """
        release = read_manifest(models, self.model).release
        with disk_errors(f"keeping release {release}", self.place), self._changing():
            if not self._keeps(release, models):
                check_release(models, self.model, release, CHECKED_BYTES)
                aside = self.place / f".{release}.{os.getpid()}"
                try:
                    aside.mkdir()
                    for model in models_in(models):
                        link_or_copy(models / model, aside / model)
                    replace_folder(aside, self.place / release)
                finally:
                    shutil.rmtree(aside, ignore_errors=True)
        return release

    def releases(self) -> list[StoredRelease]:
        """All that are kept, the newest first; at the end those without a readable description, which a notice says."""
        found = [(self._read(folder), folder.stat().st_mtime_ns) for folder in self._folders()]
        return [release for release, _ in sorted(found, key=lambda each: (each[0].created, each[1]), reverse=True)]

    def read(self, release: str) -> StoredRelease:
        """One that is kept, by its whole id.

        Raises:
            ReleaseError: it is not kept.
            ArtifactError: its description is damaged.
        """
        folder = self.folder(release)
        manifest = read_manifest(folder, self.model)
        return StoredRelease(
            id=release,
            created=manifest.created,
            pipeline=manifest.pipeline,
            version=int(version_folder(folder / self.model).name),
            layout="fused" if models_in(folder) == [self.model] else "ensemble",
            bytes=_size(folder),
            notices=manifest.notices,
            parts=manifest.parts,
            refreshed=manifest.refreshed,
        )

    def find(self, prefix: str) -> str:
        """The id of the only release that begins with ``prefix``.

        Raises:
            ReleaseError: none does, or several do.
        """
        ids = [folder.name for folder in self._folders()]
        found = [name for name in ids if name == prefix] or [name for name in ids if name.startswith(prefix)]
        if len(found) != 1:
            what = "begin with it" if found else "are kept"
            names = ", ".join(found or ids) or "none"
            raise ReleaseError(f"release {prefix!r}: expected the beginning of one id; in {self.place} {what}: {names}")
        return found[0]

    def folder(self, release: str) -> Path:
        """The folder of a release, a model repository.

        Raises:
            ReleaseError: it is not kept.
        """
        if release not in (folder.name for folder in self._folders()):
            self.find(release)  # says what there is
            raise ReleaseError(f"release {release!r}: is no whole id; `cascade release list` shows them")
        return self.place / release

    def verify(self, release: str) -> None:
        """Check every file of a release against its digest.

        Raises:
            ReleaseError: it is not kept.
            ArtifactError: names the first file that is missing or changed.
        """
        check_release(self.folder(release), self.model, release)

    def retire(self, release: str) -> None:
        """Remove a release.

        Raises:
            ReleaseError: it is not kept, the live set names it, or a server has it.
        """
        with self._changing():
            folder = self.folder(release)
            self.check_unused(release)
            self._remove(folder)

    def check_unused(self, release: str, as_previous: bool = False) -> None:
        """Raise ReleaseError if the live set names a release, or a server has it.

        Args:
            as_previous: it may be the previous one.
        """
        for user, advice in self._users().get(release, ()):
            if not (as_previous and user == _ROLLBACK):
                raise ReleaseError(f"release {release}: {user}, so it cannot be retired; {advice}")

    def prune(self, keep: int) -> list[str]:
        """Remove all but the newest ``keep`` that were trained and as many refreshed ones, those of the live set, the
        published one and those that servers have.

        Returns:
            the ids of what was removed.
        """
        with self._changing():
            found = self.releases()
            newest = [[each.id for each in found if bool(each.refreshed) == kind][:keep] for kind in (False, True)]
            needed = {*newest[0], *newest[1], *self._users(), self.published()}
            gone = [each.id for each in found if each.id not in needed]
            for release in gone:
                self._remove(self.place / release)
        return gone

    def published(self) -> str | None:
        """Id of the release in the model repository itself, for plain Triton; None if there is none."""
        try:
            version = served_version(model := self.repository / self.model)
            return ReleaseManifest.load(model / str(version) / RELEASE).release
        except (OSError, ArtifactError, ServerError):
            return None

    def _read(self, folder: Path) -> StoredRelease:
        try:
            return self.read(folder.name)
        except ArtifactError as error:
            return StoredRelease(folder.name, "", "", 0, "", _size(folder), [str(error)], {})

    def _users(self) -> dict[str, list[tuple[str, str]]]:
        """Id of each release that is in use -> by whom, and what would end that, in words."""
        from ...ensemble.server.releases.running_servers import servers_of
        from ...ensemble.server.status import ServerStatus

        live = LiveSets(self.repository, self.model).read()
        another, found = "promote another one first", defaultdict[str, list[tuple[str, str]]](list)
        if live:
            found[live.stable].append(("is the stable one", another))
            for arm in live.arms:
                found[arm.release].append((f"is in use as {arm.name}", "`cascade release stop` ends that"))
            for shadow in live.shadows:
                found[shadow.release].append(
                    (f"is in use as {shadow.name}", "`cascade release shadow --off` ends that")
                )
            if live.previous:
                found[live.previous].append((_ROLLBACK, "`--previous` gives that up"))
        for server in servers_of(self.repository, self.model):
            served = ServerStatus.read(Path(server.status_file)).release
            found[served].append((f"process {server.pid} serves it", another))
        return found

    def _keeps(self, release: str, models: Path) -> bool:
        """Whether the release is kept, is whole, and has the same files as the artifact in ``models``.

        The id pins parts and settings. The files that are made of them can still be others: of another version of this
        package, or of another version of the model.
        """
        folder = self.place / release
        if not folder.is_dir():
            return False
        try:
            check_release(folder, self.model, release, CHECKED_BYTES)
        except ArtifactError:
            return False
        return contents(folder) == contents(models)

    def _folders(self) -> list[Path]:
        there = self.place.iterdir() if self.place.is_dir() else ()
        return sorted(folder for folder in there if folder.is_dir() and not folder.name.startswith("."))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """The lock of those who change the releases. What killed ones have left is removed."""
        with only_writer(self.place, self._wait_s):
            for left in self.place.glob(".*.*"):
                if left.is_dir():
                    shutil.rmtree(left)
            yield

    def _remove(self, folder: Path) -> None:
        """Remove a release in one step for those who look meanwhile."""
        aside = self.place / f".{folder.name}.{os.getpid()}"
        folder.rename(aside)
        shutil.rmtree(aside)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
