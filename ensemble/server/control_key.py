"""The key of Triton's control calls: without it a client can neither load models nor register shared memory, nor
change the settings of logs and traces.

Triton takes the key as an argument, and any user of the machine can read the arguments of any process. So its parent
overwrites it in the memory of the process, once Triton has read it.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from ...core.errors import ServerError
from ..gateway.backend import KEY_HEADER

RESTRICTED = ("model-repository", "shared-memory", "trace", "logging")
GRPC_HEADER = f"triton-grpc-protocol-{KEY_HEADER}"
"""The header in which Triton's gRPC endpoint expects the key."""
_ARG_START, _ARG_END = 47, 48
"""Fields of /proc/PID/stat, counted from 0, see proc(5)."""


def new_key() -> str:
    return secrets.token_hex(32)


def key_arguments(key: str) -> list[str]:
    """tritonserver's arguments for the key."""
    calls = ",".join(RESTRICTED)
    return [f"--{option}={calls}:{KEY_HEADER}={key}" for option in ("grpc-restricted-protocol", "http-restricted-api")]


def hide(pid: int, key: str) -> None:
    """Overwrite ``key`` in the arguments of a process of our own, as /proc/PID/cmdline shows them.

    Raises:
        ServerError: if the key is readable afterwards; then the server must not go on.
    """
    process = Path(f"/proc/{pid}")
    try:
        # The name in parentheses may hold spaces.
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        start, end = int(fields[_ARG_START - 2]), int(fields[_ARG_END - 2])
        with (process / "mem").open("r+b", buffering=0) as memory:
            memory.seek(start)
            arguments = memory.read(end - start) or b""
            memory.seek(start)
            memory.write(arguments.replace(key.encode(), b"*" * len(key)))
        shown = (process / "cmdline").read_bytes()
    except ProcessLookupError:
        return  # it has ended
    except OSError as error:
        raise ServerError(f"cannot hide the control key in the arguments of process {pid}: {error.strerror}") from error
    if key.encode() in shown:
        raise ServerError(f"the control key is readable in the arguments of process {pid}")
