"""A small file that says how a server is, for other processes such as `cascade reload`. It imports nothing heavy."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ...core.processes import is_stopped_or_gone

STALE_S = 5.0
"""Seconds after which a status counts no more: whoever should have renewed it is stopped or gone."""


@dataclass(frozen=True)
class ServerStatus:
    """How a server was at a moment."""

    ready: bool = False
    """Whether every instance was well and the model answered."""
    release: str = ""
    """Id of the live release."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What was counted since the start, see `TritonServer.counts`."""
    processes: Sequence[int] = ()
    """Ids of the processes that are all needed."""
    reload_error: str = ""
    """Why the last reload failed; empty if it did not."""
    live_set: int = 0
    """Generation of the live set that it has followed last, or could not follow; 0 if it follows none."""
    live_set_fault: str = ""
    """Why it could not."""
    arms: Mapping[str, str] = field(default_factory=dict)
    """Each arm and shadow of the live set: empty text where its release answers, else why it does not."""
    metrics_url: str = ""
    """Of the Prometheus metrics; empty where there are none."""
    grpc_url: str = ""
    """``host:port`` of the gRPC endpoint."""
    at: float = 0.0
    """Seconds of the machine's monotonic clock."""

    def write(self, file: Path) -> None:
        """Write it by a rename, so that a reader finds a whole one."""
        aside = file.with_name(f"{file.name}.new")
        aside.write_text(json.dumps({**asdict(self), "at": time.monotonic()}))
        aside.replace(file)

    @classmethod
    def read(cls, file: Path) -> ServerStatus:
        """The last one that was written. ``ready`` is looked at again: it is false if the status is stale or one of the
        processes is stopped or gone."""
        try:
            status = cls(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):
            return cls()
        well = status.ready and time.monotonic() - status.at < STALE_S
        return cls(**{**asdict(status), "ready": well and not any(map(is_stopped_or_gone, status.processes))})
