"""Heals dead stubs: Triton never restarts one, stays "ready", and fails every call until the model is loaded again."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from ..protocol.wire import one_line
from .runtime import STUB

_log = logging.getLogger("cascade.serve")

SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Stub:
    """The process that one instance of a python model runs in."""

    process: psutil.Process
    model: str
    region: str
    """Its file in /dev/shm, which Triton leaves behind when the process is killed."""

    @property
    def dead(self) -> bool:
        """Killed: Triton reaps a stub that it ends itself, any other stays a zombie."""
        try:
            return bool(self.process.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False


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
    except psutil.NoSuchProcess:  # ZombieProcess is one, too
        return None
    if len(command) < 3 or Path(command[0]).name != STUB:
        return None
    return Stub(process, Path(command[1]).parents[1].name, command[2])


class Watchdog:
    """A thread that looks at the stubs and has the model of a dead one loaded again.

    Loading replaces all stubs of a model. Triton does not always end the others: a request that the dead one took
    with it can keep what was loaded before alive for ever, so those that are left are ended here.

    Args:
        server: process id of tritonserver.
        load: loads the model of this name, returns when it answers, raises if it cannot be loaded.
        interval: seconds between two looks.
        longest_wait: a model that fails to load is tried again after 1, 2, 4, ... at most this many seconds.
        leave: seconds that a replaced stub has for the requests that it holds.
    """

    def __init__(
        self,
        server: int,
        load: Callable[[str], None],
        interval: float = 0.2,
        longest_wait: float = 30.0,
        leave: float = 15.0,
    ) -> None:
        self._server = server
        self._load = load
        self._interval = interval
        self._longest_wait = longest_wait
        self._leave = leave
        self._leaving: dict[int, tuple[Stub, float]] = {}
        self._known: dict[int, Stub] = {}
        self._suspects: set[int] = set()
        self._broken: dict[str, _Retry] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cascade-watchdog", daemon=True)

    def start(self) -> None:
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a load that is under way is not waited for longer than a second."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self._look()
            for model, retry in list(self._broken.items()):
                if retry.due and not self._stop.is_set():
                    self._heal(model, retry)
            self._end_replaced()

    def _look(self) -> None:
        """Note which stubs are there, and which of those seen before are dead.

        Dead twice in a row: a stub that Triton itself ends is a zombie, too, for the moment until it is reaped.
        """
        dead = {pid for pid, stub in self._known.items() if stub.dead}
        for pid in dead & self._suspects:
            stub = self._known.pop(pid)
            _log.warning("stub %d of model %s died, loading the model again", pid, stub.model)
            (SHARED_MEMORY / stub.region).unlink(missing_ok=True)
            self._broken.setdefault(stub.model, _Retry())
        self._suspects = dead
        self._known = {pid: stub for pid, stub in self._known.items() if pid in dead or stub.process.is_running()}
        found = {stub.process.pid: stub for stub in running_stubs(self._server)}
        self._known.update({pid: stub for pid, stub in found.items() if pid not in self._leaving})

    def _heal(self, model: str, retry: _Retry) -> None:
        started = time.monotonic()
        replaced = [stub for stub in self._known.values() if stub.model == model]
        try:
            self._load(model)
        except Exception as error:  # whatever it is, the next try may work, and the thread has to live for it
            retry.later(self._longest_wait)
            _log.error("model %s: %s; next try in %.0f s", model, one_line(error), retry.wait)
            return
        del self._broken[model]
        _log.warning("model %s answers again after %.1f s", model, time.monotonic() - started)
        for stub in replaced:
            self._leaving[stub.process.pid] = stub, time.monotonic() + self._leave
            self._known.pop(stub.process.pid, None)

    def _end_replaced(self) -> None:
        for pid, (stub, until) in list(self._leaving.items()):
            if not stub.process.is_running() or stub.dead:
                del self._leaving[pid]
            elif time.monotonic() > until:
                _log.warning("stub %d of model %s was replaced and is still there, ending it", pid, stub.model)
                with contextlib.suppress(psutil.NoSuchProcess):
                    stub.process.kill()
                (SHARED_MEMORY / stub.region).unlink(missing_ok=True)


@dataclass
class _Retry:
    """When a broken model is tried next."""

    wait: float = 0.0
    at: float = 0.0

    @property
    def due(self) -> bool:
        return time.monotonic() >= self.at

    def later(self, longest: float) -> None:
        self.wait = min(max(1.0, 2 * self.wait), longest)
        self.at = time.monotonic() + self.wait
