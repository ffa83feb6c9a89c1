"""Servers of other releases, for arms and shadows: whatever happens to one of them costs no client an answer."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from ...core.errors import CascadeError
from ...ensemble.protocol.call_errors import one_line
from ...ensemble.server.server import TritonServer

_log = logging.getLogger("cascade.serve")

_LEAVE_S = 0.5
"""Seconds that a server goes on after nobody is told to ask it any more."""
_RETRY_S = 5.0
_NICE = 10
"""Of a background server while it starts. With the idle policy it might never be done on a machine that is busy."""


class ArmServer:
    """A thread that runs the server of a release, and starts it again when it ends.

    Args:
        release: its id.
        make: a server of it, not started.
        background: whether its processes only get what others leave of the CPU: those who answer users wait for none
            of them, not even until the end of a time slice.
    """

    def __init__(self, release: str, make: Callable[[threading.Event], TritonServer], background: bool) -> None:
        self._release, self._make, self._background = release, make, background
        self._server: TritonServer | None = None
        self._fault = "is being started"
        self._idle = 0
        """Process id of the tritonserver that runs with the idle policy."""
        self._stop = threading.Event()
        # A server ends with the thread that has started it.
        self._thread = threading.Thread(target=self._run, name=f"cascade-arm-{release}", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str | None:
        """``host:port`` of its gRPC endpoint; None while it does not answer."""
        server = self._server
        return server.grpc_url if server is not None and server.answers() else None

    @property
    def fault(self) -> str:
        """Why it does not answer; empty if it does."""
        if self.url is not None:
            return ""
        return self._fault if self._server is None else "a process of it is replaced"

    def leave(self) -> None:
        """End it soon."""
        threading.Timer(_LEAVE_S, self._stop.set).start()

    def stop(self) -> None:
        """End it now, and wait for that."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        if self._background:
            os.nice(_NICE)  # of this thread, and so of the processes that it starts
        while not self._stop.is_set():
            try:
                with self._make(self._stop) as server:
                    self._server = server
                    _log.warning("release %s answers the users of its arm", self._release)
                    try:
                        server.wait(self._stop, alive=partial(self._let_others_first, server))
                    finally:
                        self._server = None
            except CascadeError as error:
                if not self._stop.is_set():
                    self._fault = one_line(error)
                    _log.error("release %s cannot answer the users of its arm: %s", self._release, self._fault)
            self._stop.wait(_RETRY_S)

    def _let_others_first(self, server: TritonServer) -> None:
        if self._background and server.pid != self._idle and server.answers():
            self._idle = server.pid
            _set_idle(server.pid)


class ArmServers:
    """One server for each release: of a higher priority if it answers users than if it is only a shadow.

    Args:
        make: a server of the release in this model repository, not started; it gives up when the event is set.
    """

    def __init__(self, make: Callable[[Path, threading.Event], TritonServer]) -> None:
        self._make = make
        self._servers: dict[tuple[str, bool], ArmServer] = {}
        self._left: list[ArmServer] = []

    def add(self, release: str, repository: Path, background: bool) -> ArmServer:
        """The server of a release, which is started if there is none."""
        key = release, background and (release, False) not in self._servers  # what was an arm goes on as a shadow
        if key not in self._servers:
            self._servers[key] = ArmServer(release, lambda stop: self._make(repository, stop), background)
        return self._servers[key]

    def keep_only(self, servers: Collection[ArmServer | None]) -> None:
        """End all others."""
        for key, server in [*self._servers.items()]:
            if server not in servers:
                server.leave()
                self._left.append(self._servers.pop(key))

    def stop(self) -> None:
        """End all of them, and wait for that."""
        for server in (*self._left, *self._servers.values()):
            server.stop()


def _set_idle(pid: int) -> None:
    """Give all threads of a process and of those that it has started the idle policy; new ones inherit it."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                for thread in each.threads():
                    os.sched_setscheduler(thread.id, os.SCHED_IDLE, os.sched_param(0))
