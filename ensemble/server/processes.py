"""Ending a group of processes so that none is left, not even a zombie."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import threading

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans(on: bool) -> None:
    """Whether children of a child that ends become ours (Linux, prctl(2)).

    A stub that was killed stays tritonserver's zombie; in a container nobody may be there to reap it afterwards.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def dying_with_us(sign: str = "TERM") -> list[str]:
    """What to put before a command, so that it gets a signal when this process ends, killed or not; may be nothing.

    The kernel sends it when the thread ends that started the command, so only the main thread's commands get it.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return []
    return [setpriv, "--pdeathsig", sign, "--"]


def end_group(leader: subprocess.Popen[str], grace_s: float) -> None:
    """Ask the leader of a process group to end, kill the group if it takes longer than ``grace_s``, reap them all."""
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
