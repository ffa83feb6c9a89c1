"""Pages of mapped files that a process has read: they count as its memory until it lets them go."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

DONT_NEED = 4
"""MADV_DONTNEED of <sys/mman.h>."""
READ_ONLY = "r--s"
MOST = 500_000_000
"""Bytes of mapped pages that stay in any case."""


def let_go(most: int = MOST) -> None:
    """If this process holds more than ``most`` bytes of mapped files, let go of those that it has mapped to read, as
    ``np.load(..., mmap_mode="r")`` does.

    What is read again comes from the kernel's cache of the file. For what walks through large files.
    """
    if _held() <= most:
        return
    libc = ctypes.CDLL(None)
    for start, end in _mappings():
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), DONT_NEED)


def _held() -> int:
    """Bytes of mapped files in memory."""
    return int(Path("/proc/self/statm").read_text().split()[2]) * os.sysconf("SC_PAGE_SIZE")


def _mappings() -> Iterator[tuple[int, int]]:
    """Start and end of each shared mapping of a file that cannot be written, so that nothing is lost."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        address, access, *_ = line.split(maxsplit=5)
        if access == READ_ONLY and "/" in line:
            first, _, last = address.partition("-")
            yield int(first, 16), int(last, 16)
