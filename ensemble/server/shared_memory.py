"""Shared memory (/dev/shm), through which Triton and its python stubs exchange tensors.

Triton names the regions and removes them at a clean end. Those of a killed process stay; they are removed here.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

FOLDER = Path("/dev/shm")


def new_prefix() -> str:
    """A prefix for the region names of one server: no other server, of this process or another, has the same."""
    return f"cascade_{os.getpid()}_{secrets.token_hex(4)}_"


def remove(region: str) -> None:
    """Remove one region, if it exists."""
    (FOLDER / region).unlink(missing_ok=True)


def remove_all(prefix: str) -> None:
    """Remove every region of the server that was given this prefix."""
    for region in FOLDER.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def free_bytes(folder: Path = FOLDER) -> int | None:
    """Bytes that are free in shared memory; None if ``folder`` does not exist."""
    return shutil.disk_usage(folder).free if folder.is_dir() else None
