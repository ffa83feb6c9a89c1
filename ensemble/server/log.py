"""tritonserver's log: what says nothing is dropped, the rest is passed on, the last errors are kept."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable
from typing import IO

from ..protocol.call_errors import one_line

_HARMLESS = re.compile(
    r"CudaDriverHelper|unable to create stream|pinned system memory|CUDA memory pool disabled"
    r"|^[+|]"  # the tables that it draws when it starts
    r"|\.cc:\d+\] *$"  # and their headings
    r"|^\s*$"
)
_ERROR = re.compile(r"^E\d{4} |^error: |error while loading shared libraries")
_PREFIX = re.compile(r"^[EWI]\d{4} \S+ \d+ \S+\] ")


class ServerLog:
    """Reads the pipe of a process in a thread until the process ends."""

    def __init__(self, pipe: IO[str], forward: Callable[[str], None]) -> None:
        self._pipe = pipe
        self._forward = forward
        self._lines: deque[str] = deque(maxlen=200)
        self._thread = threading.Thread(target=self._read, name="tritonserver-log", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._pipe:
            for line in self._pipe:
                text = line.rstrip("\n")
                if not _HARMLESS.search(text):
                    self._lines.append(text)
                    self._forward(text)

    def join(self) -> None:
        """Wait until everything that was written has been read."""
        self._thread.join(timeout=5)

    def cause(self) -> str:
        """The first error, which later ones follow from, else the last line; one line."""
        lines = list(self._lines)
        text = next((line for line in lines if _ERROR.search(line)), lines[-1] if lines else "it wrote nothing")
        return one_line(_PREFIX.sub("", text))
