"""Brings back a model's instances after somebody has loaded it through Triton's own API, which forgets their number."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ...core.errors import CascadeError
from ..protocol.call_errors import one_line

_log = logging.getLogger("cascade.serve")


class InstanceCheck:
    """A thread that looks at intervals how many instances the model has.

    Args:
        wanted: the number of instances.
        count: how many the server has now.
        load: loads the model with the wanted number.
        interval: seconds between two looks.
    """

    def __init__(self, wanted: int, count: Callable[[], int], load: Callable[[], None], interval: float = 2.0) -> None:
        self._wanted, self._count, self._load, self._interval = wanted, count, load, interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cascade-instance-check", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; does not wait for a load that is under way."""
        self._stop.set()

    def look(self) -> None:
        """Load the model if it has another number of instances. A server that does not answer is left to others."""
        try:
            found = self._count()
            if found == self._wanted or self._stop.is_set():
                return
            _log.warning("the model has %d instances, expected %d: loading it again", found, self._wanted)
            self._load()
        except CascadeError as error:
            _log.debug("instances: %s", one_line(error))

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self.look()
