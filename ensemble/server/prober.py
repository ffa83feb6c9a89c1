"""Asks a server at intervals whether it lives and its model answers."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ...core.errors import CascadeError, RequestError
from ..protocol.call_errors import OVERLOADED, one_line
from .model_control import ModelControl

_SILENT = 5
"""Probes in a row without any answer after which a server counts as hung."""
_ASK_EVERY = 5
"""A model that answers is asked again at every fifth look: the processes' pulses tell the rest."""


class Prober:
    """A thread that probes the server.

    Args:
        control: a connection with a time-out of some seconds.
        gone: called if the server lives, but has not loaded the model.
        interval: seconds between two looks.
    """

    def __init__(self, control: ModelControl, gone: Callable[[], None], interval: float = 1.0) -> None:
        self._control, self._gone, self._interval = control, gone, interval
        self._silent = 0
        self.answered = False
        """Whether the model has answered the last probe."""
        self.refused = ""
        """What it has said instead."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cascade-probe", daemon=True)

    @property
    def hung(self) -> bool:
        """Whether the server has not answered for long."""
        return self._silent >= _SILENT

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; does not wait for a probe that is under way."""
        self._stop.set()

    def look(self, ask: bool = True) -> None:
        """Probe the server and, with ``ask`` or if it did not answer the last time, the model."""
        if not self._control.live():
            self._silent, self.answered = self._silent + 1, False
            return
        self._silent = 0
        if not self._control.ready():
            self.answered = False
            self._gone()
        elif ask or not self.answered:
            self._ask()

    def _ask(self) -> None:
        try:
            self._control.probe()
            self.answered = True
        except RequestError:
            self.answered = True
        except CascadeError as error:
            self.answered, self.refused = OVERLOADED in str(error), one_line(error)

    def _run(self) -> None:
        looks = 1  # the model has just answered
        while not self._stop.is_set():
            self.look(ask=looks % _ASK_EVERY == 0)
            looks += 1
            self._stop.wait(self._interval)
        self._control.close()
