"""Copies a version of a model for a server, and checks that the copy is whole."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from ....core.errors import ArtifactError, ServerError
from ...protocol.config_file import CONFIG, served_version
from ...repository.digests import check_files

_TRIES = 5


def copied(copy: Callable[[], None], source: Path, model: str) -> None:
    """Copy a model. An export that goes on meanwhile renames folders, so that is tried again.

    Raises:
        ServerError: if it still fails.
    """
    for left in reversed(range(_TRIES)):
        try:
            return copy()
        except (OSError, ArtifactError) as error:
            if not left:
                raise ServerError(f"{source}: model {model!r} cannot be copied: {error}") from error
            time.sleep(0.2)


def copy_version(version: Path, target: Path, check_up_to: float) -> None:
    """Copy the folder of a version, and check the copy against its digests.

    It has no hard links: a link would change with what it links to.

    Args:
        check_up_to: of larger files only the size is checked, bytes.

    Raises:
        ArtifactError: names the file in ``version``, which is where it has to be mended.
    """
    shutil.copytree(version, target)
    try:
        check_files(target, version.parent / CONFIG, check_up_to)
    except ArtifactError as error:
        raise ArtifactError(str(error).replace(str(target), str(version))) from error


def version_folder(model: Path) -> Path:
    """The folder of the version that a server serves of the model in ``model``."""
    version = served_version(model)
    highest = max((int(entry.name) for entry in model.iterdir() if entry.name.isdecimal()), default=1)
    return model / str(highest if version is None else version)
