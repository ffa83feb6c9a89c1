"""Which servers run on a model repository: each has a folder for its copy of what it serves, and holds a lock there."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

LIVE = ".live"
"""Folder in a model repository with the copies of the servers that run on it."""
LOCK = "lock"
"""File in a copy: its server holds a lock on it for as long as it lives, and writes there who it is."""


def homes(repository: Path) -> list[Path]:
    """The folders that may hold copies of this repository: in it, or else among the user's temporary files."""
    return [repository.absolute() / LIVE, Path(tempfile.gettempdir()).absolute() / f"cascade-live-{os.getuid()}"]


def remove_left(parent: Path) -> None:
    """Remove the copies of servers that were killed."""
    for lock in parent.glob(f"*/{LOCK}"):
        if not owner(lock):
            shutil.rmtree(lock.parent, ignore_errors=True)


@dataclass(frozen=True)
class LiveServer:
    """A server that runs on a copy."""

    pid: int
    model: str
    repository: str
    status_file: str
    """Where it says how it is, see `ServerStatus`."""
    takes_hangup: bool
    """Whether SIGHUP has it load what is published; it ends a program that does not wait for that signal."""


def owner(lock: Path) -> LiveServer | None:
    """The server whose copy this is; None if it has ended."""
    with suppress(OSError), lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return LiveServer(**json.loads(file.read() or "null") or _BEGINS)
    return None


_BEGINS = asdict(LiveServer(0, "", "", "", False))
"""Of a server that holds its lock, but has not written it yet."""


def servers_of(repository: Path, model: str) -> list[LiveServer]:
    """The servers that run on this model of a repository."""
    locks = [lock for parent in homes(repository) for lock in parent.glob(f"*/{LOCK}")]
    owners = [found for lock in locks if (found := owner(lock))]
    return [one for one in owners if (one.model, one.repository) == (model, str(repository.absolute()))]
