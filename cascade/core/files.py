"""Files that several folders share, and locks between processes."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LINK_FROM = 1 << 20
"""Smallest file that is linked, bytes. Small files are copied, because people edit them (a config, a model.py)."""


def link_or_copy(source: Path, target: Path) -> None:
    """Make the file or folder ``source`` available at ``target`` as well.

    Files of at least ``LINK_FROM`` bytes become hard links. That is safe because artifacts are never changed in place.
    Files are copied where the file system has no hard links, or source and target are on different ones.

    Raises:
        FileExistsError: ``target`` exists.
        FileNotFoundError: ``source`` does not exist.
    """
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_or_copy_file)
    else:
        _link_or_copy_file(source, target)


def _link_or_copy_file(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    real = Path(source).resolve(strict=True)
    if real.stat().st_size >= LINK_FROM:
        try:
            os.link(real, target)
            return
        except FileExistsError:
            raise
        except OSError:  # EXDEV, EPERM, EMLINK, ENOTSUP: copy instead
            pass
    shutil.copyfile(real, target)


def cache_folder() -> Path:
    """The folder for files that can be made again: ``$CASCADE_CACHE``, else ``$XDG_CACHE_HOME/cascade``, else
    ``~/.cache/cascade``."""
    if own := os.environ.get("CASCADE_CACHE"):
        return Path(own).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cascade"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """A context that one process at a time can enter; others wait. The lock ends with the process that holds it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
