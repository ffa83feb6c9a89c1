"""The digests of a release's files, so that one that was truncated, changed or deleted is never served."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ...core.errors import ArtifactError
from ..protocol.config_file import CONFIG

DIGESTS = "digests.json"
"""File in the folder of a version."""
CHECKED_BYTES = 256 << 20
"""Of larger files, only the size is checked where nothing else is asked for."""
PUBLISH = "run `cascade run`, which publishes the release again"


def write_digests(folder: Path, config: str) -> None:
    """Write down the size and SHA-256 of every file of a version.

    Args:
        folder: the version's folder, complete.
        config: text of the model's config.pbtxt, which lies beside the folder.
    """
    files = {name: [file.stat().st_size, _sha256(file)] for name, file in _files(folder).items()}
    text = config.encode()
    files[CONFIG] = [len(text), hashlib.sha256(text).hexdigest()]
    (folder / DIGESTS).write_text(_text(files))


def check_files(
    folder: Path, config: Path | None = None, contents_up_to: float = CHECKED_BYTES, advice: str = PUBLISH
) -> None:
    """Check that every file of a version is as it was written.

    Args:
        folder: the version's folder.
        config: the model's config.pbtxt; None leaves it out, for a version that the config does not name.
        contents_up_to: of larger files only the size is checked, bytes.
        advice: what to do about a damaged file, for the error.

    Raises:
        ArtifactError: names the first file that is gone or changed.
    """
    table = read_digests(folder, advice)
    places = {name: folder / name for name in table if name != CONFIG} | ({CONFIG: config} if config else {})
    for name, place in places.items():
        if not place.is_file():
            raise ArtifactError(f"{place}: is missing; {advice}")
        if (size := place.stat().st_size) != table[name][0]:
            raise ArtifactError(f"{place}: damaged ({size:,} bytes instead of {table[name][0]:,}); {advice}")
    for name, place in places.items():
        if table[name][0] <= contents_up_to and _sha256(place) != table[name][1]:
            raise ArtifactError(f"{place}: damaged (its content has changed); {advice}")


def read_digests(folder: Path, advice: str = PUBLISH) -> dict[str, Any]:
    """Name of each file of a version -> its bytes and its SHA-256.

    Raises:
        ArtifactError: the file that holds them is missing or damaged.
    """
    file = folder / DIGESTS
    try:
        text = file.read_text()
        files = json.loads(text)["files"]
    except FileNotFoundError:
        raise ArtifactError(f"{file}: is missing; {advice}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{file}: damaged ({type(error).__name__}); {advice}") from error
    if text != _text(files):
        raise ArtifactError(f"{file}: damaged (its content has changed); {advice}")
    return dict(files)


def _text(files: Any) -> str:
    own = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return json.dumps({"files": files, "sha256": own}, indent=1) + "\n"


def _files(folder: Path) -> dict[str, Path]:
    """The files by their names relative to ``folder``, without the bytecode that Python writes beside model.py."""
    found = {str(file.relative_to(folder)): file for file in sorted(folder.rglob("*")) if file.is_file()}
    return {name: file for name, file in found.items() if name != DIGESTS and "__pycache__" not in file.parts}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
