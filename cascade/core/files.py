"""Files that several folders share, and locks between processes."""

from __future__ import annotations

import ctypes
import fcntl
import filecmp
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .errors import ArtifactError, ConfigError

_MADE_AGAIN = "delete its folder, and run `cascade run`, which makes it again"
_OWNED = ".owner"
"""File in a temporary folder; the process that the folder belongs to holds a lock on it."""
LINK_FROM = 1 << 20
"""Smallest file that is linked, bytes. Small files are copied, because people edit them (a config, a model.py)."""


def link_or_copy(source: Path, target: Path) -> None:
    """Make the file or folder ``source`` available at ``target`` as well.

    Files of at least ``LINK_FROM`` bytes become hard links, and can only be read from then on: whoever writes into one
    would change it in all places.
    Files are copied, with their times, where the file system has no hard links, or source and target are on different
    ones.

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
            with suppress(OSError):  # of another user
                real.chmod(real.stat().st_mode & ~0o222)
            return
        except FileExistsError:
            raise
        except OSError:  # EXDEV, EPERM, EMLINK, ENOTSUP: copy instead
            pass
    shutil.copyfile(real, target)
    times = real.stat()
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))


def same_content(left: Path, right: Path) -> bool:
    """Whether both files exist and hold the same bytes.

    Links to one file, and files of the same size and time, as copies of ``link_or_copy`` are, are not read.
    """
    try:
        one, other = left.stat(), right.stat()
    except FileNotFoundError:
        return False
    if os.path.samestat(one, other):
        return True
    if one.st_size != other.st_size:
        return False
    return one.st_mtime_ns == other.st_mtime_ns or filecmp.cmp(left, right, shallow=False)


def read_json(file: Path) -> Any:
    """The content of a JSON file of an artifact or a release.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        raise ArtifactError(f"{file}: is missing; {_MADE_AGAIN}") from None
    except ValueError as error:
        raise ArtifactError(f"{file}: damaged ({error}); {_MADE_AGAIN}") from error


def write_text(file: Path, text: str) -> None:
    """Write a text file by a rename: a reader finds the old text or the new one, and a failure leaves nothing."""
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        aside.write_text(text)
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two files or folders in one step, see renameat2(2).

    Returns:
        False, with nothing done, where kernel or file system cannot.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "renameat2"):
        return False
    at_working_folder, exchange_both = -100, 2  # AT_FDCWD of <fcntl.h>, RENAME_EXCHANGE of <linux/fs.h>
    return bool(
        libc.renameat2(at_working_folder, os.fsencode(one), at_working_folder, os.fsencode(other), exchange_both) == 0
    )


def cache_folder() -> Path:
    """The folder for files that can be made again: ``$CASCADE_CACHE``, else ``$XDG_CACHE_HOME/cascade``, else
    ``~/.cache/cascade``."""
    if own := os.environ.get("CASCADE_CACHE"):
        return Path(own).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cascade"


def made_in_cache(folder: Path) -> Path:
    """``folder``, which is the cache folder or in it, and is there now.

    Raises:
        ConfigError: it cannot be written.
    """
    if not can_be_written(folder):
        raise ConfigError(f"{folder}: cannot be written; set CASCADE_CACHE to a folder that can be")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def can_be_written(folder: Path) -> bool:
    """Whether this user can write to a folder, or make it if it is not there. Writes nothing."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


@contextmanager
def locked(file: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """A context that one process at a time can enter; others wait. The lock ends with the process that holds it.

    Args:
        shared: processes that all share the lock can enter together.
        wait: False to enter without the lock if another process holds it.

    Yields:
        Whether this process holds the lock.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def owned_folder(kind: str, place: Path | None = None) -> OwnedFolder:
    """A new temporary folder that only this user can open. Those of this ``kind`` that killed processes left go.

    Args:
        place: where it lies; by default among the temporary files.
    """
    place = place or Path(tempfile.gettempdir())
    for lock in place.glob(f"cascade-{kind}-*/{_OWNED}"):
        with suppress(OSError):  # of another user, or just removed
            if lock_is_free(lock):
                shutil.rmtree(lock.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"cascade-{kind}-", dir=place))
    held = (folder / "lock").open("w")
    fcntl.flock(held, fcntl.LOCK_EX)
    (folder / "lock").rename(folder / _OWNED)  # seen by others only now that it is locked
    return OwnedFolder(folder, held)


@dataclass
class OwnedFolder:
    """A folder that belongs to this process, see `owned_folder`."""

    path: Path
    lock: IO[str]

    def remove(self) -> None:
        """Remove it with what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.lock.close()


def lock_is_free(file: Path) -> bool:
    """Whether no process holds the lock now."""
    with locked(file, wait=False) as free:
        return free
