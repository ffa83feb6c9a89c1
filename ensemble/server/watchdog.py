"""Replaces model processes that die, are stopped or hang; the others go on answering.

Triton never restarts one. It stays "ready", and each request that such a process takes fails after a second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from ...core.processes import is_stopped_or_gone, state_of
from ..protocol.call_errors import one_line
from ..protocol.pulse import Pulse
from .live_models import LiveModels
from .stubs import Instance, find_instances, running_stubs

_log = logging.getLogger("cascade.serve")

_LEAVE_S = 30.0
"""Seconds that a process has to answer what it holds after another one has taken its place."""
_MISSING_S = 5.0
"""Seconds after which an instance group without a process counts as dead."""


class Watchdog:
    """A thread that looks at the model processes ten times a second.

    A dead process fails the requests that it holds, a second after it has died, and then takes others. So it is taken
    out first if the model has others, and then a new one is started in its place.

    Args:
        server: process id of tritonserver.
        pulses: how the names of its processes' pulses begin.
        live: the models that it serves.
        load: has Triton load the model of this name; raises if it cannot.
        loading: held while models are loaded.
        interval: seconds between two looks.
        longest_wait: what fails is tried again after 1, 2, 4, ... and at most this many seconds.
    """

    def __init__(
        self,
        server: int,
        pulses: str,
        live: LiveModels,
        load: Callable[[str], None],
        loading: threading.Lock,
        interval: float = 0.1,
        longest_wait: float = 30.0,
    ) -> None:
        self._server, self._pulses, self._live, self._load, self._loading = server, pulses, live, load, loading
        self._interval, self._longest_wait = interval, longest_wait
        self._instances: dict[int, Instance] = {}
        self._faulty: dict[str, str] = {}
        self._without: dict[str, float] = {}
        self._replaced: dict[int, float] = {}
        self._stopped: set[int] = set()
        self._gone = False
        self._last, self._looks = time.monotonic(), 0
        self._retry_s, self._retry_at = 0.0, 0.0
        self._healer: threading.Thread | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cascade-watchdog", daemon=True)
        self.healed = 0
        """Processes that were replaced."""
        self.stuck = False
        """Whether the last try to replace processes failed by an error of the disk, for example a full one."""

    def start(self) -> None:
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; does not wait for a load that is under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1)

    @property
    def complete(self) -> bool:
        """Whether every process that there should be is there and well."""
        well = {one.group: one.pid for one in list(self._instances.values()) if one.pulse.ready}
        groups = [group for model in self._live.models for group in self._live.groups(model)]
        return (
            self._live.full
            and not self._faulty
            and all(group in well and not is_stopped_or_gone(well[group]) for group in groups)
        )

    @property
    def any_well(self) -> bool:
        """Whether a process of this release, or of the one before, is well."""
        return any(one.pulse.ready and not is_stopped_or_gone(one.pid) for one in list(self._instances.values()))

    @property
    def pulses(self) -> list[Pulse]:
        """The last pulses of the processes that are loaded, without those that others have replaced."""
        groups = {group for model in self._live.models for group in self._live.groups(model)}
        return [one.pulse for one in list(self._instances.values()) if one.pulse.ready and one.group in groups]

    @property
    def pids(self) -> list[int]:
        """Process ids of the model processes."""
        return list(self._instances)

    def load_again(self) -> None:
        """Have the served model loaded, because somebody has unloaded it."""
        self._gone = True

    def look(self) -> None:
        """Look at every process, kill what does not work, and note the instance groups that need another."""
        now = time.monotonic()
        # What the watchdog itself did not get to see does not count: then the machine was busy, or asleep.
        passed, self._last = min(now - self._last, 2 * self._interval), now
        self._looks += 1
        expected = {group: model for model in self._live.models for group in self._live.groups(model)}
        self._instances = find_instances(self._pulses, self._instances)
        for one in list(self._instances.values()):
            if one.group in expected:
                self._judge(one, expected[one.group], passed)
            elif is_stopped_or_gone(one.pid):
                self._forget(one)
            elif not self._loading.locked():  # while others are loaded, it is the one that answers
                self._leave(one, passed)
        present = {one.group for one in self._instances.values()}
        self._without = {
            group: self._without.get(group, 0.0) + passed
            for group in expected
            if group not in present and group not in self._faulty and not self._loading.locked()
        }
        self._faulty.update({group: expected[group] for group, s in self._without.items() if s > _MISSING_S})
        self._faulty = {group: model for group, model in self._faulty.items() if group in expected}
        if self._looks % 10 == 0 and self._loading.locked():
            self._end_stopped()

    def _run(self) -> None:
        was_ill = False
        while not self._stop.wait(self._interval):
            if is_stopped_or_gone(self._server):  # the supervisor starts it again, with all processes
                continue
            self.look()
            healing = self._healer is not None and self._healer.is_alive()
            # At the second look, so that those that fail together are replaced together.
            was_ill, ready_to_heal = self._ill, was_ill and self._ill
            if ready_to_heal and not healing and time.monotonic() >= self._retry_at:
                self._healer = threading.Thread(target=self._heal, name="cascade-heal", daemon=True)
                self._healer.start()

    @property
    def _ill(self) -> bool:
        return self._gone or bool(self._faulty) or not self._live.full

    def _judge(self, one: Instance, model: str, passed: float) -> None:
        fault = one.look(passed)
        if fault is not None:
            _log.warning("process %d of model %s %s, replacing it", one.pid, model, fault)
            self._faulty[one.group] = model
            self._forget(one)

    def _forget(self, one: Instance) -> None:
        one.end()
        self._instances.pop(one.pid, None)
        self._replaced.pop(one.pid, None)

    def _leave(self, one: Instance, passed: float) -> None:
        self._replaced[one.pid] = self._replaced.get(one.pid, 0.0) + passed
        if self._replaced[one.pid] > _LEAVE_S:
            _log.warning("process %d was replaced and still runs, ending it", one.pid)
            self._forget(one)

    def _end_stopped(self) -> None:
        """Kill stopped processes that have no pulse yet: the load that goes on would wait for them."""
        stopped = {stub.pid for stub in running_stubs(self._server) if state_of(stub.pid) == "T"}
        for stub in running_stubs(self._server) if stopped & self._stopped else []:
            if stub.pid in stopped & self._stopped and stub.pid not in self._instances:
                _log.warning("process %d of model %s is stopped while it starts, ending it", stub.pid, stub.model)
                stub.kill()
        self._stopped = stopped

    def _heal(self) -> None:
        started = time.monotonic()
        with self._loading:
            faulty, gone = dict(self._faulty), self._gone
            if not self._ill:  # a reload has replaced them
                return
            try:
                if gone:
                    _log.warning("model %s is not loaded, loading it", self._live.model)
                    self._load(self._live.model)
                    self._gone = False
                for model in sorted({*faulty.values(), *self._live.short}):
                    self._renew(model, {group for group, of in faulty.items() if of == model})
            except Exception as error:  # any error: the next try may work
                self.stuck = isinstance(error, OSError)
                self._later(error)
                return
        self.stuck, self._retry_s = False, 0.0
        self.healed += len(faulty)
        _log.warning("model %s is whole again after %.1f s", self._live.model, time.monotonic() - started)

    def _renew(self, model: str, groups: set[str]) -> None:
        """Replace the processes of these instance groups."""
        if groups and set(self._live.groups(model)) - groups:
            self._live.drop(model, groups)
            self._done(groups)
            self._load(model)
        self._live.refill(model, groups)
        self._done(groups)
        self._load(model)

    def _done(self, groups: Iterable[str]) -> None:
        for group in groups:
            self._faulty.pop(group, None)

    def _later(self, error: Exception) -> None:
        self._retry_s = min(max(1.0, 2 * self._retry_s), self._longest_wait)
        self._retry_at = time.monotonic() + self._retry_s
        present = {one.group for one in list(self._instances.values())}
        groups = [(group, model) for model in self._live.models for group in self._live.groups(model)]
        self._faulty = {**self._faulty, **{group: model for group, model in groups if group not in present}}
        if not self._stop.is_set():
            _log.error("a process cannot be replaced: %s; next try in %.0f s", one_line(error), self._retry_s)
