"""Writes the pulse of this model process, so that `cascade serve` sees whether it lives and gets on."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..protocol.pulse import PULSE_FILES, Pulse, pulse_file
from .own_region import server_pid


class PulseWriter:
    """A thread that writes the pulse five times a second; nothing happens where `PULSE_FILES` is not set.

    The thread cannot run while other code holds Python's global lock: then the pulse stops, as it should.

    Args:
        instance: Triton's name of the model instance.
        interval: seconds between two pulses.
    """

    def __init__(self, instance: str, interval: float = 0.2) -> None:
        self._instance, self._interval = instance, interval
        self._beats = self._begun = self._done = self._generation = self._failed = 0
        self._ready = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cascade-pulse", daemon=True)
        prefix = os.environ.get(PULSE_FILES)
        self._path = pulse_file(prefix, os.getpid(), instance) if prefix else None
        self._file = -1
        self._server = server_pid()

    def start(self) -> None:
        if self._path is not None:
            self._file = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            self._write()
            self._thread.start()

    def ready(self) -> None:
        """Say that the model can answer."""
        self._ready = True
        self._write_now()

    def reached(self, generation: int) -> None:
        """Say that the releases of this generation of `Serving` are loaded, and that the active one answers."""
        self._generation = generation
        self._write_now()

    def failed(self, generation: int) -> None:
        """Say that a release of this generation of `Serving` cannot be loaded."""
        self._failed = generation
        self._write_now()

    def stop(self) -> None:
        """End the thread and remove the file."""
        self._stop.set()
        if self._path is not None and self._thread.is_alive():
            self._thread.join()
            os.close(self._file)
            self._path.unlink(missing_ok=True)

    @contextmanager
    def working(self) -> Iterator[None]:
        """While the context is open, a pass is under way."""
        self._begun = self._done + 1
        try:
            yield
        finally:
            self._done = self._begun

    def next_part(self) -> None:
        """Say that a long pass gets on."""
        self._done = self._begun
        self._begun += 1

    def _write_now(self) -> None:
        if self._file >= 0:
            self._write()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            if os.getppid() != self._server:
                os._exit(1)  # tritonserver was killed before it could end its processes
            self._write()

    def _write(self) -> None:
        self._beats += 1
        Pulse(self._beats, self._ready, self._begun, self._done, self._generation, self._failed).write(self._file)
