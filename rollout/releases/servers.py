"""Waiting until the running servers answer with another release."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from ...core.processes import state_of
from ...ensemble.server.releases.running_servers import LiveServer, servers_of
from ...ensemble.server.status import ServerStatus
from .live_set import LiveSet

_LOOK_S = 0.05


@dataclass(frozen=True)
class Arrival:
    """How a server came to another release."""

    pid: int
    seconds: float | None
    """Until it answered with the release; None if it does not."""
    why_not: str = ""
    """Why it does not, in words."""
    refused: bool = False
    """Whether it said that it cannot load the release; the one that it had answers on."""


def wait_for_servers(repository: Path, model: str, live: LiveSet, timeout_s: float) -> list[Arrival]:
    """Wait until every running `cascade serve` of the model answers with the stable release, or refuses it.

    Args:
        live: the live set that they are to follow.
        timeout_s: seconds to wait for all of them.
    """
    start = time.monotonic()
    waiting = [server for server in servers_of(repository, model) if server.takes_hangup]
    done: dict[int, Arrival] = {}
    while True:
        for server in waiting:
            if server.pid not in done and (arrival := _arrival(server, live, time.monotonic() - start)):
                done[server.pid] = arrival
        if len(done) == len(waiting) or time.monotonic() - start > timeout_s:
            break
        time.sleep(_LOOK_S)
    late = f"does not answer with it after {timeout_s:g} s; see its log, or go back with `cascade release rollback`"
    return [done.get(server.pid, Arrival(server.pid, None, late)) for server in waiting]


def answering(repository: Path, model: str) -> set[str]:
    """Ids of the releases that running servers of the model have."""
    found = {ServerStatus.read(Path(each.status_file)).release for each in servers_of(repository, model)}
    return found - {""}


def refusal(status: ServerStatus, live: LiveSet) -> str:
    """Why a server cannot follow a live set, as its status says; empty if it does not say so.

    What it says of an earlier generation does not count: the same release may be loaded by now.
    """
    return status.live_set_fault if status.live_set == live.generation else ""


def _arrival(server: LiveServer, live: LiveSet, seconds: float) -> Arrival | None:
    """What has become of a server; None if it still loads."""
    status = ServerStatus.read(Path(server.status_file))
    if status.release == live.stable and status.ready:
        return Arrival(server.pid, seconds)
    if why := refusal(status, live):
        return Arrival(server.pid, None, why, refused=True)
    if state_of(server.pid) in ("", "Z"):
        return Arrival(server.pid, None, "has ended")
    return None
