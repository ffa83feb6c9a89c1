"""Replaces dead stubs: Triton never restarts one, stays "ready", and fails every request until a reload."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.call_errors import one_line
from .stubs import Stub, running_stubs

_log = logging.getLogger("cascade.serve")


class Watchdog:
    """A thread that looks at the stubs and reloads the model of a dead one.

    A reload replaces all stubs of a model. Triton does not always end the replaced ones: a request that the dead stub
    had taken can keep the old instances alive for ever. The watchdog therefore ends those that remain.

    Args:
        server: process id of tritonserver.
        load: reloads the model of this name, returns when it answers, raises if it cannot be loaded.
        interval: seconds between two looks.
        longest_wait: a model that fails to load is tried again after 1, 2, 4, ... and at most this many seconds.
        leave: seconds that a replaced stub has to answer the requests that it holds.
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
        self._known: dict[int, Stub] = {}
        self._suspects: set[int] = set()
        self._broken: dict[str, _Retry] = {}
        self._replaced: dict[int, tuple[Stub, float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cascade-watchdog", daemon=True)

    def start(self) -> None:
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; wait at most a second for a reload that is under way."""
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
        """Update the known stubs, and note the models of those that are dead.

        A stub counts as dead if two looks in a row find it so: one that Triton ends itself is a zombie for a moment,
        until Triton reaps it.
        """
        dead = {pid for pid, stub in self._known.items() if stub.dead}
        for pid in dead & self._suspects:
            stub = self._known.pop(pid)
            _log.warning("stub %d of model %s died, loading the model again", pid, stub.model)
            stub.remove_region()
            self._broken.setdefault(stub.model, _Retry())
        self._suspects = dead
        self._known = {pid: stub for pid, stub in self._known.items() if pid in dead or stub.running}
        found = {stub.pid: stub for stub in running_stubs(self._server)}
        self._known.update({pid: stub for pid, stub in found.items() if pid not in self._replaced})

    def _heal(self, model: str, retry: _Retry) -> None:
        started = time.monotonic()
        replaced = [stub for stub in self._known.values() if stub.model == model]
        try:
            self._load(model)
        except Exception as error:  # any error: the next try may work, and the thread must survive until then
            retry.later(self._longest_wait)
            _log.error("model %s: %s; next try in %.0f s", model, one_line(error), retry.wait)
            return
        del self._broken[model]
        _log.warning("model %s answers again after %.1f s", model, time.monotonic() - started)
        for stub in replaced:
            self._replaced[stub.pid] = stub, time.monotonic() + self._leave
            self._known.pop(stub.pid, None)

    def _end_replaced(self) -> None:
        for pid, (stub, until) in list(self._replaced.items()):
            if not stub.running or stub.dead:
                del self._replaced[pid]
            elif time.monotonic() > until:
                _log.warning("stub %d of model %s was replaced and still runs, ending it", pid, stub.model)
                stub.kill()
                stub.remove_region()


@dataclass
class _Retry:
    """When to try a broken model again."""

    wait: float = 0.0
    at: float = 0.0

    @property
    def due(self) -> bool:
        return time.monotonic() >= self.at

    def later(self, longest: float) -> None:
        self.wait = min(max(1.0, 2 * self.wait), longest)
        self.at = time.monotonic() + self.wait
