"""The stub processes of a server: Triton runs each instance of a python model in one."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import psutil

from . import shared_memory
from .runtime import STUB


@dataclass(frozen=True)
class Stub:
    """The process that one instance of a python model runs in."""

    process: psutil.Process
    model: str
    region: str
    """Its region of shared memory."""

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    @property
    def dead(self) -> bool:
        """Whether it was killed: Triton reaps a stub that it ends itself, any other remains as a zombie."""
        try:
            return bool(self.process.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    @property
    def running(self) -> bool:
        """Whether the process exists, be it as a zombie."""
        return bool(self.process.is_running())

    def kill(self) -> None:
        """Send SIGKILL; nothing happens if the process has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.process.kill()

    def remove_region(self) -> None:
        """Remove its shared memory, which Triton leaves behind when a stub is killed."""
        shared_memory.remove(self.region)


def running_stubs(server: int) -> list[Stub]:
    """The live stubs of the server with this process id."""
    return [stub for child in _children(server) if (stub := _stub(child)) is not None]


def _children(server: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(server).children())
    except psutil.NoSuchProcess:
        return []


def _stub(process: psutil.Process) -> Stub | None:
    """From the command line ``stub <repository>/<model>/<version>/model.py <region> ...``; a zombie has none."""
    try:
        command = process.cmdline()
    except psutil.NoSuchProcess:  # also of a zombie
        return None
    if len(command) < 3 or Path(command[0]).name != STUB:
        return None
    return Stub(process, Path(command[1]).parents[1].name, command[2])
