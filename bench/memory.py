"""Memory of a server and its stubs, read once or every second during a load."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from ..ensemble.server.stubs import running_stubs
from .probe import processes

MB = 1e6
_FIELD = re.compile(r"^(Rss|Pss|Pss_Anon|Pss_Shmem):\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Usage:
    """Memory of one process, MB (10^6 bytes)."""

    pss: float
    """Proportional set size: a page that n processes share counts 1/n for each."""
    rss: float
    """Resident set size."""
    own: float
    """``pss`` without pages of mapped files. The kernel may drop those at any time; the rest grows if memory leaks."""


def memory_of(pid: int | None) -> dict[str, Usage]:
    """Memory of ``tritonserver`` and of each stub, named ``model#1``, ``model#2``, ... in the order of process ids."""
    stubs = sorted(running_stubs(pid) if pid is not None else [], key=lambda stub: stub.process.pid)
    names: dict[int, str] = {}
    for model in dict.fromkeys(stub.model for stub in stubs):
        of_model = [stub.process.pid for stub in stubs if stub.model == model]
        names |= {process: f"{model}#{number}" for number, process in enumerate(of_model, start=1)}
    found = {names.get(process.pid, process.name()): usage(process.pid) for process in processes(pid)}
    return {name: value for name, value in found.items() if value is not None}


def usage(pid: int) -> Usage | None:
    """Read ``/proc/<pid>/smaps_rollup``. None for a process that has ended or is a zombie."""
    try:
        kilobytes = dict(_FIELD.findall(Path(f"/proc/{pid}/smaps_rollup").read_text()))
    except (FileNotFoundError, ProcessLookupError):
        return None
    if not kilobytes:
        return None
    mb = {name: int(value) * 1024 / MB for name, value in kilobytes.items()}
    return Usage(mb["Pss"], mb["Rss"], mb["Pss_Anon"] + mb["Pss_Shmem"])


def summary(used: dict[str, Usage]) -> dict[str, object]:
    """Totals and values by process, MB, as the report holds them."""
    parts = {name: {key: round(value, 1) for key, value in asdict(one).items()} for name, one in used.items()}
    return {
        **{key: round(sum(getattr(one, key) for one in used.values()), 1) for key in ("pss", "rss", "own")},
        "processes": parts,
    }


@dataclass
class MemoryLog:
    """A thread that records the memory of every process each second. Use as a context manager."""

    pid: int | None
    times_s: list[float] = field(default_factory=list)
    """Seconds since the start of the log."""
    mb: dict[str, list[float]] = field(default_factory=dict)
    """Process -> `Usage.own` at each time, NaN while the process does not exist. ``total`` is their sum, and ``pss``
    the sum that includes mapped files."""

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cascade-memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        start = time.monotonic()
        while not self._stop.wait(1.0):
            self.note(time.monotonic() - start, memory_of(self.pid))

    def note(self, at_s: float, used: dict[str, Usage]) -> None:
        """Add a row."""
        row = {name: value.own for name, value in used.items()}
        row["total"], row["pss"] = sum(row.values()), sum(value.pss for value in used.values())
        for name in row.keys() - self.mb.keys():
            self.mb[name] = [float("nan")] * len(self.times_s)
        self.times_s.append(at_s)
        for name, values in self.mb.items():
            values.append(row.get(name, float("nan")))

    def ratios(self, seconds: float) -> dict[str, float]:
        """Process -> `growth` over ``seconds``. Processes for which it is None are left out."""
        found = {name: growth(self.times_s, values, seconds) for name, values in self.mb.items()}
        return {name: value for name, value in found.items() if value is not None}


def growth(times_s: Sequence[float], values: Sequence[float], seconds: float) -> float | None:
    """Ratio of the mean of the last minute to the mean of the second minute. None without values in both.

    The first minute is left out, since caches are being filled. A load shorter than three minutes is cut into thirds.
    """
    part = min(60.0, seconds / 3)
    rows = [(at, value) for at, value in zip(times_s, values, strict=True) if value == value]
    early = [value for at, value in rows if part <= at < 2 * part]
    late = [value for at, value in rows if seconds - part <= at <= seconds]
    if not early or not late:
        return None
    return (sum(late) / len(late)) / (sum(early) / len(early))
