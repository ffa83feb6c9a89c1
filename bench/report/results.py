"""The results of `cascade bench`; the fields are the keys of its JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..load.point import Point


@dataclass
class Report:
    """All results of one run of `cascade bench`."""

    generator: str
    notes: list[str] = field(default_factory=list)
    """What could not be measured as requested, and why."""
    points: list[Point] = field(default_factory=list)
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    """Time by stage of the best point of the first layout and batch size."""
    floors: Mapping[str, Any] = field(default_factory=dict)
    """``stages_ms``: CPU milliseconds that each stage's libraries need for one user; ``sum_ms``; and ``cpu_ratio``, the
    CPU time of a served request at the best rate with one user a request, as a multiple of the sum."""
    memory_mb: dict[str, Any] = field(default_factory=dict)
    """Layout -> memory after the load, see `memory.summary`."""
    startup_s: dict[str, float] = field(default_factory=dict)
    """Layout -> seconds from the start of the server to its first answer."""
    soak: Mapping[str, Any] = field(default_factory=dict)
    compare: Mapping[str, Any] = field(default_factory=dict)
    workload: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def save(self, file: Path) -> None:
        """Write ``file`` atomically."""
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name(f".{file.name}.{os.getpid()}")
        aside.write_text(json.dumps(self.to_json(), indent=1) + "\n")
        aside.replace(file)


def machine() -> dict[str, Any]:
    """The machine that the figures were measured on."""
    import psutil

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
