"""Starts tritonserver again when it dies or hangs, as often as the config allows."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from ...core.errors import CascadeError, CrashError
from ..config import ServerConfig
from ..protocol.call_errors import one_line
from .session import Session

_log = logging.getLogger("cascade.serve")

_HOUR_S = 3600.0
_LONGEST_WAIT_S = 60.0
_CALM_S = 3.0
"""Seconds after a start before a standby is started, which takes a core for a second or two."""
_STANDBY_EVERY = 5
"""Looks at the server for each look at its standby."""
_RETRY_S = 15.0
"""Least seconds between the starts of two standbys."""


class Restarts:
    """How often a server may be started again, and how long to wait before it.

    Args:
        config: its ``restart`` and ``max_restarts``.
        clock: seconds.
    """

    def __init__(self, config: ServerConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed = config.max_restarts if config.restart == "on_failure" else 0
        self._clock, self._times, self._wait_s = clock, deque[float](), 0.0

    def next_wait(self) -> float | None:
        """Count a restart: seconds to wait before it; None if there have been too many within an hour.

        The first one comes at once. Those that come within a minute of the one before wait 1, 2, 4, ... and at most 60
        seconds, from the fourth on.
        """
        now = self._clock()
        while self._times and now - self._times[0] > _HOUR_S:
            self._times.popleft()
        if len(self._times) >= self._allowed:
            return None
        soon = len(self._times) >= 3 and now - self._times[-3] < _LONGEST_WAIT_S
        self._wait_s = min(max(1.0, 2 * self._wait_s), _LONGEST_WAIT_S) if soon else 0.0
        self._times.append(now)
        return self._wait_s


class Supervisor:
    """A thread that watches over a session and replaces it when it ends.

    A standby, if there is to be one, has loaded the same models and takes over at once. Without one that is warm, the
    server is started again from cold.

    Args:
        session: the first one, which runs.
        make: starts another one on the same ports, given to ``adopt`` before it is started; raises if it cannot.
        restarts: how often.
        make_standby: starts a standby; None for none.
        free_ports: called before a standby takes over.
        on_look: called ten times a second.
    """

    def __init__(
        self,
        session: Session,
        make: Callable[[Callable[[Session], None]], Session],
        restarts: Restarts,
        on_look: Callable[[], None] = lambda: None,
        make_standby: Callable[[], Session] | None = None,
        free_ports: Callable[[], None] = lambda: None,
        interval: float = 0.1,
    ) -> None:
        self.session, self._make, self._restarts, self._on_look = session, make, restarts, on_look
        self._make_standby, self._free_ports = make_standby, free_ports
        self.standby: Session | None = None
        self._standby_at = time.monotonic() + _CALM_S
        self._discard, self._looks = False, 0
        self._interval = interval
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run, name="cascade-supervisor", daemon=True)
        self.restarted = 0
        """Restarts so far."""
        self._replaced = 0
        self.crash: CrashError | None = None
        """Why it has given up."""

    @property
    def replaced(self) -> int:
        """Model processes that were replaced so far."""
        return self._replaced + self.session.replaced

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and the sessions."""
        with self._lock:
            self._stop.set()
        self._end_sessions()
        if self._thread.is_alive():
            self._thread.join()
        self._end_sessions()  # one that was just being started

    def renew_standby(self) -> None:
        """Have the standby replaced, because other models are live."""
        self._discard = True

    def _end_sessions(self) -> None:
        if self.standby is not None:
            self.standby.stop(grace_s=0)
        self.session.stop()

    def _run(self) -> None:
        while not self._stop.is_set() and self.crash is None:
            try:
                self._look()
            except Exception:  # of any kind: a server that nobody watches would be worse
                _log.exception("the supervisor goes on after an error")
            self._stop.wait(self._interval)

    def _look(self) -> None:
        fault = self.session.fault()
        if fault is None and self.standby is not None and self.standby.is_warm and self.session.all_gone():
            fault = "every model process has ended"
        if fault is None:
            self._on_look()
            self._tend_standby()
        elif not self._stop.is_set():
            self._again(fault)

    def _again(self, fault: str) -> None:
        started = time.monotonic()
        wait = self._restarts.next_wait()
        if wait is None:
            self.crash = CrashError(f"{fault}; it is not started again, see server.restart and server.max_restarts")
            _log.error("%s", self.crash)
            self._end_sessions()
            return
        self._on_look()
        self.session.stop(grace_s=0)
        if not self._take_over(fault):
            _log.error("%s; starting it again%s", fault, f" in {wait:.0f} s" if wait else "")
            if self._stop.wait(wait) or not self._start_again():
                return
        self.restarted += 1
        self._standby_at = time.monotonic() + _CALM_S
        _log.warning("tritonserver answers again after %.1f s", time.monotonic() - started)

    def _start_again(self) -> bool:
        try:
            self._make(self._adopt)
        except (CascadeError, OSError) as error:
            if not self._stop.is_set():
                _log.error("tritonserver cannot be started again: %s", one_line(error))
            return False
        return True

    def _take_over(self, fault: str) -> bool:
        """Have the standby take over; whether it does."""
        standby, self.standby = self.standby, None
        if standby is None:
            return False
        if self._discard or not standby.warm():
            standby.stop(grace_s=0)
            return False
        _log.error("%s; its standby takes over", fault)
        try:
            self._adopt(standby)
            self._free_ports()
            standby.take_over()
        except Exception as error:  # of any kind: nobody else would see that it does not answer
            _log.error("the standby cannot take over: %s", one_line(error))
            standby.stop(grace_s=0)
            return False
        return True

    def _tend_standby(self) -> None:
        """Start a standby when the server has been well for a while; end one that does not work or is out of date."""
        if self._make_standby is None:
            return
        if self.standby is None:
            if time.monotonic() >= self._standby_at and self.session.ready():
                self._start_standby(self._make_standby)
            return
        self._looks += 1
        if self._looks % _STANDBY_EVERY:
            return
        fault = "another release is live" if self._discard else self.standby.standby_fault()
        if fault is not None:
            _log.warning("the standby is replaced: %s", fault)
            standby, self.standby = self.standby, None
            standby.stop(grace_s=0)

    def _start_standby(self, make: Callable[[], Session]) -> None:
        self._discard, self._standby_at = False, time.monotonic() + _RETRY_S
        try:
            standby = make()
        except CascadeError as error:
            _log.warning("no standby yet: %s", one_line(error))
            return
        with self._lock:
            self.standby = standby
        if self._stop.is_set():
            standby.stop(grace_s=0)

    def _adopt(self, session: Session) -> None:
        """Take a session that is about to be started, so that `stop` ends it, too."""
        with self._lock:
            if self._stop.is_set():
                raise CrashError("stopped while starting")
            self._replaced += self.session.replaced
            self.session = session
