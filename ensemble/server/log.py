"""tritonserver's log: drops noise, limits what is passed on, and keeps the last lines for error messages."""

from __future__ import annotations

import logging
import queue
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import IO

from ..protocol.call_errors import one_line, without_calls
from .plain_path import real_paths

log = logging.getLogger(__name__)

LONGEST_LINE = 8192
"""Characters; a longer line is passed on in parts."""
WAITING = 1000
"""Lines that may wait to be passed on. Further ones are dropped, since a reader that waits would stop the server."""
BURST = 1000
"""Lines that may come at once, as at a start."""
PER_SECOND = 200
"""Lines that may come in each second after that."""
TELL_S = 5.0
"""Seconds after which a flood or a repetition that goes on is told again."""

_HARMLESS = re.compile(
    r"CudaDriverHelper|evhtp\.c|unable to create stream|pinned system memory|CUDA memory pool disabled"
    r"|Failed to initialize Python stub|ERROR: Failed to create instance"  # said again: "failed to load"
    r"|^[+|]"  # tables at the start
    r"|\.cc:\d+\] *$"  # and their headings
    r"|^\s*$"
)
_ERROR = re.compile(r"^E\d{4} |^error: |error while loading shared libraries")
_PREFIX = re.compile(r"^[EWI]\d{4} \S+ \d+ \S+\] ")


class ServerLog:
    """Reads the output of a process in a thread until the process ends.

    What is read is bounded: by the length of a line, by `LogLimit` per second, and by the lines that wait if
    ``forward`` is slow. The process never waits for it.

    Args:
        forward: takes each line that is no noise.
    """

    def __init__(self, pipe: IO[str], forward: Callable[[str], None]) -> None:
        self._pipe = pipe
        self._forward = forward
        self._failed = False
        self.begun = threading.Event()
        """Set when the process has written something, or has ended."""
        self._lines: deque[str] = deque(maxlen=200)
        self._limit = LogLimit()
        self._waiting: queue.Queue[str | None] = queue.Queue(WAITING)
        self._reader = threading.Thread(target=self._read, name="tritonserver-log", daemon=True)
        self._writer = threading.Thread(target=self._write, name="tritonserver-log-out", daemon=True)
        self._reader.start()
        self._writer.start()

    def _read(self) -> None:
        with self._pipe:
            while line := self._pipe.readline(LONGEST_LINE):
                self.begun.set()
                text = real_paths(without_calls(line.rstrip("\n")))
                if not _HARMLESS.search(text):
                    self._lines.append(text)
                    self._pass_on(self._limit.of(text, _PREFIX.sub("", text)))
        self.begun.set()
        self._pass_on(self._limit.rest())
        self._waiting.put(None)

    def _pass_on(self, lines: list[str]) -> None:
        for line in lines:
            try:
                self._waiting.put_nowait(line)
            except queue.Full:
                self._limit.dropped += 1

    def _write(self) -> None:
        while (line := self._waiting.get()) is not None:
            if self._failed:
                continue
            try:
                self._forward(line)
            except Exception:  # of the caller's function; a server whose output nobody reads would end
                self._failed = True
                log.exception("forward raised an error; it gets no further lines of the server's log")

    def join(self) -> None:
        """Wait until all output of the ended process has been read and passed on."""
        self._reader.join(timeout=5)
        self._writer.join(timeout=5)

    def cause(self) -> str:
        """The first error, since later ones follow from it, or else the last line; on one line."""
        lines = list(self._lines)
        text = next((line for line in lines if _ERROR.search(line)), lines[-1] if lines else "it wrote nothing")
        return one_line(_PREFIX.sub("", text))


class LogLimit:
    """Decides which lines of a log are kept. What is left out is counted, and a line says how much it was.

    Args:
        now: a clock, seconds.
    """

    def __init__(
        self, burst: int = BURST, per_second: float = PER_SECOND, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst, self._per_second, self._now = burst, per_second, now
        self._left, self._at = float(burst), now()
        self._told = self._at
        self._last: str | None = None
        self._repeats = 0
        self.dropped = 0
        """Lines that were left out and not told yet."""

    def of(self, line: str, text: str) -> list[str]:
        """What to write for ``line``; it repeats the one before if both have the same ``text``."""
        at = self._now()
        self._left, self._at = min(self._burst, self._left + (at - self._at) * self._per_second), at
        repeated, self._last = text == self._last, text
        self._repeats += repeated
        due = at - self._told >= TELL_S
        out = self._repetition() if due or not repeated else []
        if due:
            self._told = at
            out += self._loss()
        return out if repeated else out + self._if_free([line], 1)

    def rest(self) -> list[str]:
        """What is to be said at the end of the log."""
        return [*self._repetition(), *self._loss()]

    def _repetition(self) -> list[str]:
        count, self._repeats = self._repeats, 0
        return self._if_free([f"(the line above came {count} more times)"], count) if count else []

    def _loss(self) -> list[str]:
        count, self.dropped = self.dropped, 0
        return [f"({count} lines of the server's log were left out: more than {self._per_second:g}/s)"] if count else []

    def _if_free(self, lines: list[str], count: int) -> list[str]:
        """``lines``, which stand for ``count`` of the log, unless there are too many already."""
        if self._left < 1:
            self.dropped += count
            return []
        self._left -= 1
        return lines
