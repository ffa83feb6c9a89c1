"""`cascade reload`: tells the running servers of a repository to load what is published now."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from ....core.errors import ServerError
from ....core.processes import state_of
from ..status import ServerStatus
from .running_servers import LiveServer, servers_of

_ANSWERS_S = 10.0
"""Seconds in which a server has to answer with what it has loaded; one of its processes may just be replaced."""


def reload(repository: Path, model: str, timeout: float = 300.0) -> list[str]:
    """Have each `cascade serve` of this model load the published release, one after the other.

    Args:
        timeout: seconds that each may take.

    Returns:
        the id of the live release, for each server.

    Raises:
        ServerError: if none runs, or one of them is stopped or cannot load it; that one goes on with the release that
            it had.
    """
    servers = [server for server in servers_of(repository, model) if server.takes_hangup]
    if not servers:
        raise ServerError(
            f"no `cascade serve` runs on model {model!r} of {repository.absolute()}; start one, or give the config "
            "that it was started with"
        )
    return [_reload(server, time.monotonic() + timeout) for server in servers]


def _reload(server: LiveServer, deadline: float) -> str:
    file = Path(server.status_file)
    before = _tries(ServerStatus.read(file))
    _check_not_stopped(server.pid)
    try:
        os.kill(server.pid, signal.SIGHUP)
    except OSError as error:  # of another user, or just ended
        raise ServerError(f"process {server.pid}: cannot be told to reload: {error.strerror}") from error
    while _tries(status := ServerStatus.read(file)) <= before:
        if state_of(server.pid) in ("", "Z"):
            raise ServerError(f"process {server.pid}: ended before it had loaded the release")
        _check_not_stopped(server.pid)
        if time.monotonic() > deadline:
            raise ServerError(f"process {server.pid}: has not loaded the release in time; see its log")
        time.sleep(0.1)
    if status.reload_error:
        raise ServerError(f"process {server.pid}: release {status.release} stays live: {status.reload_error}")
    answers_by = time.monotonic() + _ANSWERS_S
    while not ServerStatus.read(file).ready:
        if time.monotonic() > answers_by:
            raise ServerError(
                f"process {server.pid}: does not answer; it is started again with release {status.release}, see its log"
            )
        time.sleep(0.1)
    return status.release


def _check_not_stopped(pid: int) -> None:
    """Raise ServerError if a signal has stopped the process: it would load nothing."""
    if state_of(pid) == "T":
        raise ServerError(f"process {pid}: is stopped (SIGSTOP) and loads nothing; `kill -CONT {pid}` lets it go on")


def _tries(status: ServerStatus) -> int:
    return sum(status.counts.get(name, 0) for name in ("reloads", "reload_failures"))
