"""tritonserver's log: drops noise, passes the rest on, and keeps the last lines for error messages."""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from collections.abc import Callable
from typing import IO

from ..protocol.call_errors import one_line

log = logging.getLogger(__name__)

_HARMLESS = re.compile(
    r"CudaDriverHelper|unable to create stream|pinned system memory|CUDA memory pool disabled"
    r"|^[+|]"  # tables at the start
    r"|\.cc:\d+\] *$"  # and their headings
    r"|^\s*$"
)
_ERROR = re.compile(r"^E\d{4} |^error: |error while loading shared libraries")
_PREFIX = re.compile(r"^[EWI]\d{4} \S+ \d+ \S+\] ")


class ServerLog:
    """Reads the output of a process in a thread until the process ends.

    Args:
        forward: takes each line that is no noise.
    """

    def __init__(self, pipe: IO[str], forward: Callable[[str], None]) -> None:
        self._pipe = pipe
        self._forward = forward
        self._failed = False
        self._lines: deque[str] = deque(maxlen=200)
        self._thread = threading.Thread(target=self._read, name="tritonserver-log", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._pipe:
            for line in self._pipe:
                text = line.rstrip("\n")
                if not _HARMLESS.search(text):
                    self._lines.append(text)
                    self._pass_on(text)

    def _pass_on(self, text: str) -> None:
        if self._failed:
            return
        try:
            self._forward(text)
        except Exception:  # of the caller's function; a server whose output nobody reads would end
            self._failed = True
            log.exception("forward raised an error; it gets no further lines of the server's log")

    def join(self) -> None:
        """Wait until all output of the ended process has been read."""
        self._thread.join(timeout=5)

    def cause(self) -> str:
        """The first error, since later ones follow from it, or else the last line; on one line."""
        lines = list(self._lines)
        text = next((line for line in lines if _ERROR.search(line)), lines[-1] if lines else "it wrote nothing")
        return one_line(_PREFIX.sub("", text))
