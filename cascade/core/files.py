"""Files that lie in several folders at once, and files that only one process may hold."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LINK_FROM = 1 << 20
"""Bytes. Smaller files are copied: a person may edit a config or a model.py, and must not reach the artifact by it."""


def place(source: Path, target: Path) -> None:
    """Let what ``source`` holds, a file or a folder, lie at ``target``, too.

    Files of at least ``LINK_FROM`` bytes become hard links, which holds as long as nobody changes them in place:
    artifacts are written once, and replaced as a whole. Where the file system has no links, or the two lie on
    different ones, they are copied.
    """
    if source.is_dir():
        shutil.copytree(source, target, copy_function=place_file)
    else:
        place_file(source, target)


def place_file(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """``place`` for a file."""
    real = Path(source).resolve(strict=True)
    if real.stat().st_size >= LINK_FROM:
        try:
            os.link(real, target)
            return
        except FileExistsError:
            raise
        except OSError:  # EXDEV, EPERM, EMLINK, ENOTSUP: a copy serves as well
            pass
    shutil.copyfile(real, target)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """One process at a time within it, the others wait; the lock goes with the process that holds it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
