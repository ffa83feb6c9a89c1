"""Shared memory (/dev/shm), through which Triton and its python stubs exchange tensors, and what killed servers leave.

Triton names the regions and removes them at a clean end. Those of a killed process stay; they are removed here: by the
process that started the server, or, if that was killed as well, by the next start of any server. A lock on the file
``<prefix>lock`` says that the owner of a prefix lives. Process ids would not: they are used again, and containers that
share /dev/shm do not share them.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from .runtime import STUB

FOLDER = Path("/dev/shm")
TEMPORARY = Path("/tmp")
"""Where tritonserver makes folders, whatever TMPDIR says."""
_LOCK = "lock"
_held: dict[str, IO[str]] = {}
"""Prefix -> the locked file of those that this process owns."""


def new_prefix() -> str:
    """A prefix for the region names of one server: no other server, of this process or another, has the same."""
    return f"cascade_{os.getpid()}_{secrets.token_hex(4)}_"


def claim(prefix: str) -> None:
    """Own the regions of this prefix until `remove_all` or the end of this process, and remove what has no owner."""
    remove_orphans()
    remove_empty_folders()
    lock, aside = FOLDER / f"{prefix}{_LOCK}", FOLDER / f".{prefix}{_LOCK}"
    _held[prefix] = aside.open("w")
    fcntl.flock(_held[prefix], fcntl.LOCK_EX)
    aside.rename(lock)  # with the lock held: nobody finds the file without it


def remove_orphans() -> None:
    """Remove the regions of servers whose owner has ended, and end the stubs that are left of them."""
    for lock in FOLDER.glob(f"cascade_*_{_LOCK}"):
        with suppress(OSError), lock.open() as file:  # OSError: of another user, or somebody removes it, or it is held
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            prefix = lock.name.removesuffix(_LOCK)
            _end_stubs(prefix)
            remove_all(prefix)


def _end_stubs(prefix: str) -> None:
    """End the processes that use regions of this prefix: a stub without a server waits for ever."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if len(command) > 2 and Path(command[0]).name == STUB and command[2].lstrip("/").startswith(prefix):
            with suppress(psutil.Error):
                process.kill()


def remove_empty_folders() -> None:
    """Remove the folders ``/tmp/python_env_*`` of servers that were killed.

    Each tritonserver makes one for packed Python environments, and removes it at a clean end. One that is empty and
    older than every tritonserver that runs has no owner.
    """
    found = [process.info for process in psutil.process_iter(["name", "create_time"])]
    oldest = min((each["create_time"] for each in found if each["name"] == "tritonserver"), default=time.time())
    for folder in TEMPORARY.glob("python_env_*"):
        with suppress(OSError):  # of another user, or not empty, or gone
            if folder.stat().st_ctime < oldest:
                folder.rmdir()


def remove(region: str) -> None:
    """Remove one region, if it exists."""
    (FOLDER / region).unlink(missing_ok=True)


def remove_all(prefix: str) -> None:
    """Remove every region of the server that was given this prefix."""
    for region in FOLDER.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)
    if prefix in _held:
        _held.pop(prefix).close()


def free_bytes(folder: Path = FOLDER) -> int | None:
    """Bytes that are free in shared memory; None if ``folder`` does not exist."""
    return shutil.disk_usage(folder).free if folder.is_dir() else None
