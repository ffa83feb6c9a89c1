"""A lock for those who change the releases of a model. Whoever waits too long is told which process holds it."""

from __future__ import annotations

import errno
import fcntl
import getpass
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ...core.errors import ReleaseError

LOCK = ".lock"
"""File in the folder of a model's releases."""
_LOOK_S = 0.05


@contextmanager
def only_writer(folder: Path, wait_s: float) -> Iterator[None]:
    """A context that one process at a time can enter for the releases in ``folder``. The lock ends with its process.

    Args:
        folder: of the releases of a model; it is made.
        wait_s: seconds to wait for another process.

    Raises:
        ReleaseError: another process still holds the lock, which is named; or this user cannot write in the folder.
    """
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOCK).open("a+") as lock:
            _wait(lock, folder, wait_s)
            lock.truncate(0)
            lock.write(this_process())
            lock.flush()
            yield


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Raise ReleaseError, with what to do, where this user or anybody cannot write to ``folder``."""
    try:
        yield
    except PermissionError as error:
        raise ReleaseError(
            f"{error.filename or folder}: this user cannot write it; run the command as the user who runs `cascade run`"
        ) from error
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        raise ReleaseError(
            f"{error.filename or folder}: is on a file system that cannot be written to here; run the command where "
            "`cascade run` publishes"
        ) from error


def this_process() -> str:
    """``user@host pid N`` of this process, for the lock and the audit log."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} pid {os.getpid()}"


def _wait(lock: IO[str], folder: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while not _taken(lock.fileno()):
        if time.monotonic() > deadline:
            holder = _holder(folder / LOCK)
            raise ReleaseError(
                f"{folder}: {holder} is changing the releases and has not finished within {wait_s:g} s; run the "
                "command again when it has"
            )
        time.sleep(_LOOK_S)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock: Path) -> str:
    return lock.read_text() or "another process"
