"""What Triton has told this model process in its command line: its region of shared memory, and its server."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_STUB = b"triton_python_backend_stub"


def server_pid() -> int:
    """Process id of the tritonserver that has started this process, even if it has ended; outside of Triton, of the
    parent."""
    command = _command()
    return int(command[5]) if command else os.getppid()


def keep_private() -> None:
    """Take this process's region of shared memory from other users, who could read requests and answers in it.

    Triton creates it readable for everyone. Nothing happens outside of Triton.
    """
    if command := _command():
        with contextlib.suppress(OSError):
            (Path("/dev/shm") / command[2].decode().lstrip("/")).chmod(0o600)


def _command() -> list[bytes]:
    """``stub <model.py> <region> <size> <growth> <server's process id> ...``; empty outside of Triton."""
    command = Path("/proc/self/cmdline").read_bytes().split(b"\0")
    return command if len(command) > 5 and command[0].endswith(_STUB) else []
