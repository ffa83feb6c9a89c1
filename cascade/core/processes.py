"""Child processes that leave nothing behind when they end, not even a zombie (Linux)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import threading

_PR_SET_CHILD_SUBREAPER = 36
"""From <linux/prctl.h>."""


def adopt_orphans(on: bool) -> None:
    """Whether grandchildren become our children when their parent ends, see prctl(2).

    A killed stub stays a zombie of tritonserver. In a container there may be no init process to reap it once
    tritonserver has ended, so this process does.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def end_with_parent(sign: str = "TERM") -> list[str]:
    """A prefix for a command, so that it gets the signal ``sign`` when this process ends, even if it is killed.

    The kernel sends the signal when the thread that started the command ends. The prefix is therefore empty outside
    the main thread, and also where setpriv is not installed.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return []
    return [setpriv, "--pdeathsig", sign, "--"]


def end_group(leader: subprocess.Popen[str], grace_s: float) -> None:
    """End a process group: ask its leader, kill the group after ``grace_s`` seconds, and reap every member."""
    if leader.poll() is None:
        leader.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            leader.wait(grace_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-leader.pid, 0)
