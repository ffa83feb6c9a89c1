"""Publishing an export artifact to the model repository, and whether what is published still equals it."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from ...core.artifact import Artifact, replace_folder
from ...core.disk import disk_errors
from ...core.errors import ArtifactError, ServerError
from ...core.files import link_or_copy, locked, same_content, write_text
from ..config import ExportConfig
from ..protocol.config_file import CONFIG, served_version
from ..protocol.release_names import RELEASE
from .digests import check_files
from .owner import Owner, check_owner
from .release import ReleaseManifest

LOCK = ".publishing.lock"
"""File in the repository; one process at a time publishes to it."""
SHOWN = 3
"""Differences to name; the rest is counted."""

log = logging.getLogger(__name__)


def publish(artifact: Artifact, config: ExportConfig, owner: Owner) -> bool:
    """Place the artifact's models in ``export.repository``, unless they are there already.

    A model that is there in another form is replaced: other files, files that are gone, another version served.

    Returns:
        Whether anything was written.

    Raises:
        ArtifactError: a file of the artifact is not as it was written.
        ConfigError: the model of another pipeline is there.
        DiskError: its disk is full; what was published before stays.
    """
    repository = Path(config.repository)
    served = repository / config.model_name
    repository.mkdir(parents=True, exist_ok=True)
    with disk_errors("publishing", repository), locked(repository / LOCK):
        check_owner(served, owner)
        owner.save(served)
        advice = f"delete {artifact.path}, and run `cascade run`, which exports it again"
        for name in models_of(artifact):
            for version in _versions(artifact.path / name):
                check_files(version, artifact.path / name / CONFIG, float("inf"), advice)
        if not differences(artifact, config):
            return False
        before = _served_release(served)
        for model in sorted(models_of(artifact), key=lambda name: name == config.model_name):  # an ensemble comes last
            install(artifact.path / model, repository / model)
    log.info("%s: version %d, release %s, is published%s", served, config.version, _release(artifact, config), before)
    return True


def take_over(config: ExportConfig, owner: Owner) -> None:
    """Note ``owner`` as the one of the model, whoever it belongs to."""
    repository = Path(config.repository)
    repository.mkdir(parents=True, exist_ok=True)
    with locked(repository / LOCK):
        owner.save(repository / config.model_name)


def differences(artifact: Artifact, config: ExportConfig) -> list[str]:
    """How what is published differs from the artifact, in words; empty if it does not."""
    repository = Path(config.repository)
    found = []
    for model in models_of(artifact):
        found += _of_model(artifact.path / model, repository / model)
    rest = len(found) - SHOWN
    return [*found[:SHOWN], *([f"{rest} more differences"] if rest > 0 else [])]


def models_of(artifact: Artifact) -> list[str]:
    """Names of the artifact's models."""
    return sorted(file.parent.name for file in artifact.path.glob(f"*/{CONFIG}"))


def install(model: Path, target: Path) -> None:
    """Place the versions of ``model`` in ``target``. Each is written beside its place and then renamed.

    Other versions in ``target`` stay, and so does a version that holds the same files.
    """
    target.mkdir(parents=True, exist_ok=True)
    _remove_half_made(target)
    for version in _versions(model):
        if _of_version(version, target / version.name):
            aside = target / f".{version.name}.{os.getpid()}"
            try:
                link_or_copy(version, aside)
                replace_folder(aside, target / version.name)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    if not same_content(model / CONFIG, target / CONFIG):
        write_text(target / CONFIG, (model / CONFIG).read_text())


def _remove_half_made(target: Path) -> None:
    """Remove what killed processes have left; the lock tells that none is publishing."""
    for left in [*target.glob(".[0-9]*.*"), *target.glob(f".{CONFIG}.*")]:
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _of_model(model: Path, target: Path) -> list[str]:
    if not target.is_dir():
        return [f"{target} is not there"]
    found = []
    for version in _versions(model):
        found += _of_version(version, target / version.name)
    if not same_content(model / CONFIG, target / CONFIG):
        now, then = served_version(model), _served_version(target)
        found.append(
            f"{target} serves version {then}, not {now}" if then not in (None, now) else f"{target / CONFIG} differs"
        )
    return found


def _of_version(version: Path, target: Path) -> list[str]:
    """How a published version differs from the one of the artifact, in words."""
    if not target.is_dir():
        return [f"{target} is not there"]
    now, then = _release_id(version), _release_id(target)
    if then not in (None, now):
        return [f"{target} holds release {then}, not {now}"]
    wanted, there = _files(version), _files(target)
    gone = [f"{target / name} is gone" for name in sorted(wanted - there)]
    added = [f"{target / name} does not belong to the release" for name in sorted(there - wanted)]
    common = sorted(wanted & there)
    changed = [f"{target / name} differs" for name in common if not same_content(version / name, target / name)]
    return [*gone, *added, *changed]


def _files(folder: Path) -> set[str]:
    """Relative names of the files, without the bytecode that Python writes beside model.py."""
    files = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return {str(file) for file in files if "__pycache__" not in file.parts}


def _versions(model: Path) -> list[Path]:
    return sorted(file.parent for file in model.glob(f"*/{RELEASE}"))


def _release(artifact: Artifact, config: ExportConfig) -> str | None:
    return _release_id(artifact.path / config.model_name / str(config.version))


def _release_id(version: Path) -> str | None:
    """The id of the release in the folder of a version; None without one, or if its file is damaged."""
    try:
        return ReleaseManifest.load(version / RELEASE).release
    except (FileNotFoundError, ArtifactError):
        return None


def _served_version(model: Path) -> int | None:
    try:
        return served_version(model)
    except ServerError:  # a config that is no config
        return None


def _served_release(model: Path) -> str:
    """What was served before, for the line that tells what is published."""
    version = _served_version(model)
    before = None if version is None else _release_id(model / str(version))
    return "" if before is None else f"; before it was version {version}, release {before}"
