"""What a stage reads beside its config and its parents: files, known by their content, so that new data is noticed."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .files import cache_folder

DIGESTS = "digests.json"
"""File of the cache folder that remembers digests, so that a large file is read once for each change."""
MOST = 10_000
"""Digests to remember."""
SETTLED_S = 2.0
"""A file that changed less than this ago, seconds, may change again without another time of change."""


@dataclass(frozen=True)
class StageInput:
    """One input of a stage."""

    digest: str
    """SHA-256 (hex) of a file's content, or whatever else changes exactly when the input does."""
    size: int | None = None
    """Bytes of a file."""
    modified: float | None = None
    """When a file was last written, seconds since 1970."""


Inputs = Mapping[str, StageInput]
"""Name, such as ``interactions.parquet``, -> input."""


def file_inputs(paths: Iterable[Path], root: Path) -> dict[str, StageInput]:
    """The files of ``paths`` and below them, under their names relative to ``root``.

    Files and folders that begin with a dot or an underscore are left out, as pyarrow leaves them out of a data set.
    """
    files = [file for path in paths for file in _files(path)]
    digests = _Digests.read()
    found = {}
    for file in sorted(files):
        state = file.stat()
        found[str(file.relative_to(root))] = StageInput(digests.of(file, state), state.st_size, state.st_mtime)
    digests.save()
    return found


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    below = (file for file in path.rglob("*") if file.is_file())
    return [file for file in below if not any(part[0] in "._" for part in file.relative_to(path).parts)]


class _Digests:
    """Digests of files by path, as long as size, times and inode stay the same."""

    def __init__(self, known: dict[str, list[str]]) -> None:
        self.known = known
        self.fresh: dict[str, list[str]] = {}

    @classmethod
    def read(cls) -> _Digests:
        try:
            return cls(json.loads((cache_folder() / DIGESTS).read_text()))
        except (OSError, ValueError):  # not there yet, or damaged: digests are computed again
            return cls({})

    def of(self, file: Path, state: os.stat_result) -> str:
        name = str(file.resolve())
        seen = f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}"
        if (entry := self.known.get(name)) and entry[0] == seen:
            return entry[1]
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if time.time() - state.st_ctime > SETTLED_S:
            self.fresh[name] = [seen, digest]
        return digest

    def save(self) -> None:
        """Keep the new digests; without a cache folder that can be written, files are read again the next time."""
        if not self.fresh:
            return
        file = cache_folder() / DIGESTS
        aside = file.with_name(f".{file.name}.{os.getpid()}")
        entries = [*(self.known | self.fresh).items()][-MOST:]
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            aside.write_text(json.dumps(dict(entries)))
            aside.replace(file)
