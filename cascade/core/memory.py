"""Memory that a stage will take, and that is there: a refusal before it begins, not a kill in the middle of it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from .errors import ConfigError

GB = 1e9
CGROUP = Path("/sys/fs/cgroup")
_LIMIT: ContextVar[int | None] = ContextVar("LIMIT", default=None)


@dataclass(frozen=True)
class MemoryNeed:
    """An estimate of the bytes that a stage holds at once, in addition to what the process holds already."""

    parts: Mapping[str, int]
    """What is held -> bytes."""
    lower: str
    """The config keys that make it less, as the end of a sentence."""

    @property
    def total(self) -> int:
        return sum(self.parts.values())


@contextmanager
def limited_to(limit: int | None) -> Iterator[None]:
    """Let stages take at most ``limit`` bytes (``etl.memory_limit``) while the context is open; None for no limit."""
    token = _LIMIT.set(limit)
    try:
        yield
    finally:
        _LIMIT.reset(token)


def available() -> int:
    """Bytes that a stage can take: the least of the machine's free memory, what its cgroup allows, and the limit."""
    free, limit = _free(), _LIMIT.get()
    return free if limit is None else min(free, limit)


def by_whom() -> str:
    """How an error says where `available` comes from: ``available``, or ``allowed by etl.memory_limit``."""
    limit = _LIMIT.get()
    return "available" if limit is None or _free() < limit else "allowed by etl.memory_limit"


def _free() -> int:
    import psutil

    free = int(psutil.virtual_memory().available)
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()) != "max":
        free = min(free, int(most) - int(used.read_text()))
    return free


def check_need(stage: str, need: MemoryNeed) -> None:
    """Check that a stage fits into the memory that is there.

    Raises:
        ConfigError: with the stage, what it needs and what for, the limit, and the keys that help.
    """
    most = available()
    if need.total <= most:
        return
    largest = sorted(need.parts.items(), key=lambda part: -part[1])
    parts = ", ".join(f"{name} {size / GB:.2f} GB" for name, size in largest)
    whom = by_whom()
    more = "take a machine with more memory" if whom == "available" else "raise etl.memory_limit"
    raise ConfigError(
        f"stage {stage}: needs about {need.total / GB:.2f} GB of memory, {most / GB:.2f} GB are {whom} ({parts}): "
        f"{need.lower}, or {more}"
    )


def give_back() -> None:
    """Free what is left in cycles, and return freed memory to the system, so that what comes next can have it.

    glibc keeps pages that lie between blocks in use. Other C libraries have no such call.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
