"""Runs the gateway as a child process, and puts another one in its place when it ends or hangs.

The other one is started beforehand and has imported everything, which takes most of a start. It waits for its settings.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from ...core.errors import ServerError
from ...core.merlin_env import restore_protobuf
from .settings import ParentState, Settings

_log = logging.getLogger("cascade.serve")

START_S = 60.0
"""Seconds that a new gateway has to import its libraries and say its first word."""
HANG_S = 5.0
"""Seconds without a word after which the gateway counts as hanging. On a busy machine it may take as long to have its
turn."""
STOPPED_S = 0.5
"""The same of one that is stopped, as by SIGSTOP, whose turn never comes."""
_TICK_S = 0.1
_MODULE = __name__.rpartition(".")[0]
_STOP_S = 6.0
_LONGEST_PAUSE_S = 10.0


class GatewayProcess:
    """The gateway of one server. The sockets stay open while it is replaced: clients then wait, and are not refused.

    Args:
        settings: how it works.
        addresses: host and port of HTTP and of the metrics.
        state: what the gateway cannot know; called several times a second, so it must be quick.
    """

    def __init__(
        self,
        settings: Settings,
        addresses: Sequence[tuple[str, int]],
        state: Callable[[], ParentState] = ParentState,
    ) -> None:
        self._settings = settings
        self._addresses = addresses
        self._state = state
        self._listeners: list[socket.socket] = []
        self._child: _Child | None = None
        self._spare: _Child | None = None
        self._stop, self._answers = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="cascade-gateway", daemon=True)
        self.restarts = 0
        """How often it was started again."""

    @property
    def pid(self) -> int:
        """Process id of the gateway that runs now."""
        if self._child is None:
            raise ServerError("the HTTP gateway does not run")
        return int(self._child.process.pid)

    def start(self) -> None:
        """Listen, and start the process; clients wait until it has loaded.

        Raises:
            ServerError: if a port is taken.
        """
        for host, port in self._addresses:
            self._listeners.append(_listen(host, port))
        self._child = _Child(self._listeners)
        self._child.activate(self._settings)
        self._thread.start()

    def answers(self) -> bool:
        """Whether it has started and serves."""
        return self._answers.is_set()

    def says_ready(self) -> bool:
        """Whether it has been told that the model is ready, and so tells clients."""
        return self._child is not None and self._child.knows_ready

    def stop(self) -> None:
        """End the process; requests in flight have a few seconds. Nothing happens if it does not run."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for child in (self._spare, self._child):
            if child is not None:
                child.end(_STOP_S)
        for listener in self._listeners:
            listener.close()
        self._child, self._spare, self._listeners = None, None, []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _supervise(self) -> None:
        pause = 0.0
        while not self._stop.wait(_TICK_S):
            assert self._child is not None
            trouble = self._child.trouble(self._state())
            if self._child.heard:
                self._answers.set()
                pause = 0.0
                self._spare = self._spare or _Child(self._listeners)
            if trouble:
                self._answers.clear()
                _log.warning("HTTP gateway %d %s, starting another one", self._child.process.pid, trouble)
                self._child.end(0)
                if self._stop.wait(pause):
                    return
                pause = min(_LONGEST_PAUSE_S, 2 * pause or 0.5)
                self.restarts += 1
                self._child, self._spare = self._spare or _Child(self._listeners), None
                self._child.activate(self._settings)


class _Child:
    """One gateway process; it serves once it has been given its settings."""

    def __init__(self, listeners: Sequence[socket.socket]) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        restore_protobuf()
        numbers = [listener.fileno() for listener in listeners]
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE, *map(str, numbers)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                pass_fds=numbers,
                start_new_session=True,
            )
        self._channel.setblocking(False)
        self.heard = False
        """Whether it has said something."""
        self.knows_ready = False
        """Whether it has confirmed a state that is ready."""
        self._sent = self._confirmed = self._first_ready = 0

    def activate(self, settings: Settings) -> None:
        """Have it serve."""
        with contextlib.suppress(OSError):  # it has ended, which the next look will find
            self._channel.send(settings.packed())
        self._unanswered, self._last = 0.0, time.monotonic()

    def trouble(self, state: ParentState) -> str:
        """What is wrong with the process, in words; empty if nothing is. Tells it ``state``.

        Only time in which this process ran counts: on a machine that stands still, nobody hangs.
        """
        now = time.monotonic()
        self._unanswered += min(now - self._last, 3 * _TICK_S)
        self._last = now
        if (code := self.process.poll()) is not None:
            return f"ended with code {code}"
        with contextlib.suppress(OSError):  # BlockingIOError if it does not read: then it hangs
            self._channel.send(state.packed())
            self._sent += 1
            self._first_ready = self._first_ready or (self._sent if state.ready else 0)
        with contextlib.suppress(OSError):
            while self._channel.recv(64):
                self.heard, self._unanswered = True, 0.0
                self._confirmed += 1
        self.knows_ready = 0 < self._first_ready <= self._confirmed
        patience = HANG_S if self.heard else START_S
        if self._unanswered > STOPPED_S and self._stopped():
            patience = STOPPED_S
        return "hangs" if self._unanswered > patience else ""

    def _stopped(self) -> bool:
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] in "Tt"

    def end(self, grace_s: float) -> None:
        if grace_s:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace_s)
        self.process.kill()
        self.process.wait()
        self._channel.close()


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise ServerError(f"port {port} on {host} cannot be used: {error.strerror}") from error
    return listener
