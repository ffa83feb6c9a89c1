"""The stub processes of a server: Triton runs each instance of a python model in one."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ...core.processes import is_stopped_or_gone, state_of
from ..protocol.pulse import Pulse, pulse_files
from . import shared_memory
from .runtime import STUB

SILENT_S = 3.0
"""Seconds without a pulse after which a process counts as hung. Code that holds Python's global lock stops it, too."""
STUCK_S = 20.0
"""Seconds after which a pass of at most ``serving.max_batch_size`` users counts as stuck; most take milliseconds."""


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


def stub_of(pid: int) -> Stub | None:
    """The stub with this process id; None if there is none."""
    try:
        return _stub(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return None


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


@dataclass
class Instance:
    """One model process. `look` is called at intervals."""

    pid: int
    group: str
    """Name of its instance group."""
    file: Path
    """Its pulse."""
    stub: Stub | None = None
    pulse: Pulse = field(default_factory=Pulse)
    silent_s: float = 0.0
    stuck_s: float = 0.0
    stopped: int = 0
    """Looks in a row that found it stopped: a debugger or a shell may stop a process for a moment."""

    def look(self, passed_s: float) -> str | None:
        """What is wrong with it; None if nothing is.

        Args:
            passed_s: seconds since the last look, without those in which the watchdog itself did not get to run.
        """
        state = state_of(self.pid)
        if state in ("", "Z", "X"):
            return "died"
        self.stopped = self.stopped + 1 if state == "T" else 0
        if self.stopped > 1:
            return "is stopped"
        before, self.pulse = self.pulse, Pulse.read(self.file) or self.pulse
        if not self.pulse.ready:
            return None
        self.silent_s = self.silent_s + passed_s if self.pulse.beats == before.beats else 0.0
        same_pass = self.pulse.begun == before.begun > self.pulse.done
        self.stuck_s = self.stuck_s + passed_s if same_pass else 0.0
        if self.silent_s > SILENT_S:
            return "gives no sign of life"
        return "does not finish a pass" if self.stuck_s > STUCK_S else None

    def begun_well(self) -> bool:
        """Whether its model is loaded and it runs."""
        self.pulse = Pulse.read(self.file) or self.pulse
        return self.pulse.ready and not is_stopped_or_gone(self.pid)

    def end(self) -> None:
        """Kill it, and remove what it leaves behind."""
        if self.stub is not None:
            self.stub.kill()
            self.stub.remove_region()
        self.file.unlink(missing_ok=True)


def find_instances(prefix: str, known: dict[int, Instance]) -> dict[int, Instance]:
    """The processes with a pulse, by process id; those that are ``known`` stay the same objects."""
    found = {}
    for pid, instance, file in pulse_files(prefix):
        found[pid] = known.get(pid) or Instance(pid, instance.rpartition("_")[0], file, stub_of(pid))
    return found
