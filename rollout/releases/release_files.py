"""The files of one release: a folder with the model, and the models of an ensemble's steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.errors import ArtifactError
from ...ensemble.protocol.config_file import CONFIG, read_config
from ...ensemble.protocol.release_names import RELEASE
from ...ensemble.repository.digests import check_files, read_digests
from ...ensemble.repository.release import ReleaseManifest

_KEPT_AGAIN = "`cascade run` with the config of this release keeps it again; or retire the release"


def models_in(folder: Path) -> list[str]:
    """Names of the models in the folder of a release or of an export artifact."""
    return sorted(file.parent.name for file in folder.glob(f"*/{CONFIG}"))


def version_folder(model: Path) -> Path:
    """The folder of the only version of a model.

    Raises:
        ArtifactError: it has none, or several.
    """
    found = [folder for folder in model.glob("*") if folder.name.isdecimal()]
    if len(found) != 1:
        raise ArtifactError(f"{model}: expected one version, found {len(found)}; {_KEPT_AGAIN}")
    return found[0]


def read_manifest(folder: Path, model: str) -> ReleaseManifest:
    """The release.json of a release.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    file = version_folder(folder / model) / RELEASE
    try:
        return ReleaseManifest.load(file)
    except FileNotFoundError:
        raise ArtifactError(f"{file}: is missing; {_KEPT_AGAIN}") from None


def check_release(folder: Path, model: str, release: str, contents_up_to: float = float("inf")) -> None:
    """Check the files of a release against their digests, and that all its models are there.

    Args:
        folder: holds the models.
        model: the one that clients call.
        release: the id that all of them must have.
        contents_up_to: of larger files only the size is checked, bytes.

    Raises:
        ArtifactError: names the first file that is missing or changed.
    """
    from ...ensemble.server.served_model import names_of

    _check_model(folder / model, release, contents_up_to)
    for step in names_of(read_config(folder / model / CONFIG)):
        _check_model(folder / step, release, contents_up_to)


def contents(folder: Path) -> dict[str, Any]:
    """Size and digest of each file of a release but release.json, which holds the time of the export."""
    found = {}
    for model in models_in(folder):
        version = version_folder(folder / model)
        for name, digest in read_digests(version).items():
            found[f"{model}/{version.name}/{name}"] = digest
    return {name: digest for name, digest in found.items() if not name.endswith(f"/{RELEASE}")}


def _check_model(model: Path, release: str, contents_up_to: float) -> None:
    if not model.is_dir():
        raise ArtifactError(f"{model}: is missing; {_KEPT_AGAIN}")
    version = version_folder(model)
    check_files(version, model / CONFIG, contents_up_to, _KEPT_AGAIN)
    found = ReleaseManifest.load(version / RELEASE).release
    if found != release:
        raise ArtifactError(f"{model}: belongs to release {found}, not {release}; {_KEPT_AGAIN}")
