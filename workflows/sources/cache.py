"""Downloads: checked against a pinned checksum and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

from ...core.errors import DataError
from ...core.files import cache_folder, made_in_cache
from ...core.progress import progress


def check_sha256(file: Path, expected: str) -> None:
    """Raise a DataError if the SHA-256 of ``file`` is not ``expected``."""
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise DataError(f"{file}: expected SHA-256 {expected}, found {found}; delete the file to fetch it again")


def cached(name: str, sha256: str | None, fetch: Callable[[Path], None]) -> Path:
    """The cached file ``name``; if it is missing, ``fetch(aside)`` writes it to a temporary file first.

    The file gets its name only when it is complete and has the pinned checksum, if there is one.

    Raises:
        DataError: if the checksum differs.
        ConfigError: if the cache folder cannot be written.
    """
    file = cache_folder() / name
    if not file.is_file():
        made_in_cache(file.parent)
        aside = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            fetch(aside)
            if sha256:
                check_sha256(aside, sha256)
            aside.rename(file)
        finally:
            aside.unlink(missing_ok=True)
    if sha256:
        check_sha256(file, sha256)
    return file


def download(url: str, file: Path, *, timeout: float) -> None:
    """Download ``url`` to ``file`` with a progress bar; ``timeout`` is in seconds and limits each wait.

    Raises:
        OSError: if the server cannot be reached.
    """

    with urllib.request.urlopen(url, timeout=timeout) as answer, file.open("wb") as out:  # noqa: S310
        size = int(answer.headers.get("Content-Length") or 0) or None
        name = url.rsplit("/", 1)[-1]
        with progress(total=size, unit="B", unit_scale=True, desc=name, leave=False) as bar:
            while block := answer.read(1 << 16):
                out.write(block)
                bar.update(len(block))
