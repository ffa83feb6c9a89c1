"""Child processes that leave nothing behind when they end, not even a zombie, and their open files (Linux)."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import resource
import shutil
import signal
import subprocess
import threading
from pathlib import Path

ENOUGH_FILES = 8192
"""Files that a server with thousands of connections opens. The usual soft limit is 1024: as many idle ones end it."""
MORE_FILES = "raise the hard limit: LimitNOFILE=65536 in systemd, docker run --ulimit nofile=65536"
_MOST_FILES = 1 << 20
"""Not raised further: some libraries take time or memory for every number that is allowed."""
LEAN_HEAP = {"MALLOC_MMAP_THRESHOLD_": str(2**20), "MALLOC_TRIM_THRESHOLD_": str(2**20)}
"""For glibc, see mallopt(3). A request of 64 MB would otherwise leave tritonserver with that much more, for good."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""From <malloc.h>."""
_PR_SET_CHILD_SUBREAPER = 36
"""From <linux/prctl.h>."""

log = logging.getLogger("cascade.serve")


_adopting = threading.Lock()
_adopters = 0
"""How many have asked for `adopt_orphans`."""


def adopt_orphans(on: bool) -> None:
    """Have grandchildren become our children when their parent ends, see prctl(2); or, of those who asked for it, no
    more want it. It ends with the last one.

    A killed stub stays a zombie of tritonserver. In a container there may be no init process to reap it once
    tritonserver has ended, so this process does.
    """
    global _adopters
    with _adopting:
        _adopters += 1 if on else -1
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(_adopters > 0), 0, 0, 0)


def end_with_parent(*, any_thread: bool = False) -> list[str]:
    """A prefix for a command, so that it is killed when this process ends, even if it is killed itself.

    The kernel sends the signal when the thread that started the command ends. The prefix is therefore empty outside
    the main thread, and also where setpriv is not installed.

    Args:
        any_thread: for a thread other than the main one that lives as long as the command.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or not (any_thread or threading.current_thread() is threading.main_thread()):
        return []
    return [setpriv, "--pdeathsig", "KILL", "--"]


def end_group(leader: subprocess.Popen[str], grace_s: float) -> None:
    """End a process group: ask its leader, kill the group after ``grace_s`` seconds, and reap every member."""
    if grace_s > 0 and leader.poll() is None:
        leader.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            leader.wait(grace_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-leader.pid, 0)


def highest_file_limit() -> int:
    """The number of files that this process may have open at once after `raise_file_limit`."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)


def raise_file_limit() -> None:
    """Raise the soft limit of this process, and so of those that it starts, to the hard one; warn if that is low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = highest_file_limit()
    if soft != resource.RLIM_INFINITY and soft < highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    if highest < ENOUGH_FILES:
        log.warning("at most %d open files are allowed, and each connection takes one: %s", highest, MORE_FILES)


def keep_freed_memory() -> None:
    """Have this process keep what it frees, since each pass needs as much again; undoes `LEAN_HEAP` here."""
    with contextlib.suppress(AttributeError):  # not glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 2**25)
        mallopt(_M_TRIM_THRESHOLD, 2**26)


def state_of(pid: int) -> str:
    """The letter that ps shows: R, S, D, Z for a zombie, T for one that a signal has stopped; "" if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text[text.rindex(")") + 2]


def is_stopped_or_gone(pid: int) -> bool:
    """Whether the process cannot run any more before somebody does something."""
    return state_of(pid) in ("", "Z", "X", "T")
