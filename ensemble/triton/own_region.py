"""The shared memory through which Triton and this process exchange tensors."""

from __future__ import annotations

import contextlib
from pathlib import Path

_STUB = b"triton_python_backend_stub"


def keep_private() -> None:
    """Take this process's region of shared memory from other users, who could read requests and answers in it.

    Triton creates it readable for everyone. Nothing happens outside of Triton.
    """
    command = Path("/proc/self/cmdline").read_bytes().split(b"\0")
    if len(command) > 2 and command[0].endswith(_STUB):  # stub <model.py> <region> ...
        with contextlib.suppress(OSError):
            (Path("/dev/shm") / command[2].decode().lstrip("/")).chmod(0o600)
