"""The pulse of a model process: a small file that it rewrites several times a second and the watchdog reads."""

from __future__ import annotations

import os
import struct
from dataclasses import astuple, dataclass
from pathlib import Path

PULSE_FILES = "CASCADE_PULSE_FILES"
"""Environment variable: how the files of one server's pulses begin, with their folder. Without it none are written."""
PROBED = (0, "probe")
"""The user id that a server asks for to see whether its model answers: as a number, and as text."""
PROBE = "cascade-probe"
"""Id of these requests, by which they are told from those of users: a shop may have a user 0."""
_FORMAT = struct.Struct("=6q")


@dataclass(frozen=True)
class Pulse:
    """What a model process says of itself. It has no times, so no two clocks are compared."""

    beats: int = 0
    """Grows with each writing."""
    ready: bool = False
    """Whether the model is loaded and warm."""
    begun: int = 0
    """Passes that have begun."""
    done: int = 0
    """Passes that have ended."""
    generation: int = 0
    """That of the last `Serving` that it has carried out."""
    failed: int = 0
    """That of the last `Serving` that it could not carry out."""

    def write(self, file: int) -> None:
        """Write it to an open file descriptor."""
        os.pwrite(file, _FORMAT.pack(*astuple(self)), 0)

    @classmethod
    def read(cls, file: Path) -> Pulse | None:
        """The last one in the file; None if there is none."""
        try:
            raw = file.read_bytes()
        except OSError:
            return None
        if len(raw) != _FORMAT.size:
            return None
        beats, ready, *counts = _FORMAT.unpack(raw)
        return cls(beats, bool(ready), *counts)


def pulse_file(prefix: str, pid: int, instance: str) -> Path:
    """Where the process ``pid``, which runs Triton's model instance of that name, writes its pulse."""
    return Path(f"{prefix}{pid}.{instance}")


def pulse_files(prefix: str) -> list[tuple[int, str, Path]]:
    """Process id, instance and file of every pulse that there is."""
    folder, start = os.path.split(prefix)
    found = []
    for name in os.listdir(folder):  # ten times a second: Path.glob takes several times as long
        pid, _, instance = name.removeprefix(start).partition(".")
        if name.startswith(start) and pid.isdecimal() and instance:
            found.append((int(pid), instance, Path(folder, name)))
    return found
