"""Kills a stub that runs but does not answer; the watchdog then replaces it like any dead stub."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Literal

from ...core.errors import ServerError
from ..protocol.call_errors import NoAnswerError
from .stubs import running_stubs

_log = logging.getLogger("cascade.serve")


class HangCheck:
    """A thread that probes the model at intervals.

    One probe without an answer proves nothing, since many requests may wait before it. The stubs are killed only if
    several probes in a row fail and the server answers no other request in between. New stubs get twice as many probes
    as those before them, until one answers: on a busy machine, loading the model may take longer than the first ones.

    Args:
        server: process id of tritonserver.
        probe: returns when the model has answered, raises NoAnswerError if it does not answer in time.
        answered: the number of requests that the server has answered so far.
        interval: seconds between two probes.
        patience: how many probes in a row must fail the first time.
    """

    def __init__(
        self,
        server: int,
        probe: Callable[[], object],
        answered: Callable[[], int],
        interval: float = 5.0,
        patience: int = 2,
    ) -> None:
        self._server = server
        self._probe = probe
        self._answered = answered
        self._interval = interval
        self._patience = patience
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cascade-hang-check", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; does not wait for a probe that is under way."""
        self._stop.set()

    def _run(self) -> None:
        failed, before, patience = 0, -1, self._patience
        while not self._stop.wait(self._interval):
            match self._outcome():
                case "answer":
                    failed, patience = 0, self._patience
                case "error":
                    failed = 0
                case "nothing":
                    now = self._count()
                    failed, before = (failed + 1 if now == before else 1), now
            if failed >= patience and not self._stop.is_set():
                self._end_stubs()
                failed, patience = 0, 2 * patience

    def _outcome(self) -> Literal["answer", "error", "nothing"]:
        """What the probe got. An error kills nothing: a dead stub gives one, and the watchdog heals it."""
        try:
            self._probe()
        except NoAnswerError:
            return "nothing"
        except ServerError:
            return "error"
        return "answer"

    def _count(self) -> int:
        try:
            return self._answered()
        except ServerError:
            return -1

    def _end_stubs(self) -> None:
        for stub in running_stubs(self._server):
            _log.warning("stub %d of model %s does not answer, killing it", stub.pid, stub.model)
            stub.kill()
