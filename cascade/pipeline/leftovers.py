"""What killed runs have left in a folder of runs: unfinished artifacts and half-written notes.

Whoever writes to a run folder holds its lock, and the system releases the locks of a process that ends. So what lies
beside a run folder whose lock is free belongs to nobody, also where another process has got the same number, or another
machine shares the folder.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.files import lock_is_free, locked

LOCKS = ".locks"
"""Folder below ``runs`` with a lock file for each run folder that a process is writing."""
RUNNING = "running"
"""Lock file that every run shares while it goes on."""
_LEFT = re.compile(r"\.([0-9a-f]{12})\.(?:json\.)?\d+(?:\.old)?")
"""Names beside the run folder of this hash: ``.HASH.PID``, ``.HASH.PID.old``, ``.HASH.json.PID``."""


def lock_file(runs: Path, stage: str, key: str) -> Path:
    """The lock of a run folder."""
    return runs / LOCKS / f"{stage}-{key}"


@contextmanager
def running(runs: Path) -> Iterator[None]:
    """A context that any number of runs share; see `running_alone`."""
    with locked(runs / LOCKS / RUNNING, shared=True):
        yield


@contextmanager
def running_alone(runs: Path) -> Iterator[bool]:
    """A context in which no run begins; its value is whether none was going on."""
    with locked(runs / LOCKS / RUNNING, wait=False) as alone:
        yield alone


def leftovers(runs: Path) -> list[Path]:
    """Files and folders that killed runs have left."""
    found = []
    for path in sorted(runs.glob("*/.*")):
        match = _LEFT.fullmatch(path.name)
        if match and lock_is_free(lock_file(runs, path.parent.name, match[1])):
            found.append(path)
    return found


def remove_leftovers(runs: Path) -> None:
    """Remove what killed runs have left."""
    for path in leftovers(runs):
        remove(path)


def remove(path: Path) -> None:
    """Remove a file or a folder; nothing happens if another process has just done it."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
