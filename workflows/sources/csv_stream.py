"""The bytes of a CSV on their way to Arrow: quotes are counted, and marks of missing values taken out."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import numpy as np

from ..config import CsvConfig

if TYPE_CHECKING:
    import pyarrow as pa


class CsvStream(io.RawIOBase):
    """Passes a stream on.

    Attributes:
        quotes: the number of quotes so far.
        stray: whether there may be a quote inside a quoted field: one with neither a delimiter, nor a line end, nor a
            quote beside it, or behind a backslash.
    """

    def __init__(self, stream: pa.NativeFile, config: CsvConfig) -> None:
        self.stream = stream
        self.quote = (config.quote or "").encode()
        self.quotes = 0
        self.stray = False
        self._before = b"\n"
        """The last byte or two, whose neighbours come with the next block."""
        self._edges = np.zeros(256, bool)
        self._edges[[*f"{config.delimiter}{config.quote or ''}{config.escape or ''}\r\n".encode()]] = True
        sign = re.escape(f"{config.escape}N".encode())
        delimiter = re.escape(config.delimiter.encode())
        # MySQL writes \N for a missing value, which would be read as N.
        self._missing = re.compile(rb"(?:(?<=[\r\n])|(?<=%b)|\A)%b(?=%b|[\r\n]|\Z)" % (delimiter, sign, delimiter))
        self._escaped = config.escape is not None
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes; with an escape sign whole lines, so that no mark of a missing value is cut."""
        if not self._escaped:
            return self._block(size)
        lines, ended = self._rest, False
        while not ended and b"\n" not in lines and (size < 0 or len(lines) < size):
            block = self._block(size - len(lines) if size > 0 else size)
            lines, ended = lines + block, not block
        end = lines.rfind(b"\n") + 1 or len(lines)
        self._rest = lines[end:]
        return self._missing.sub(b"", lines[:end])

    def _block(self, size: int) -> bytes:
        data: bytes = self.stream.read(None if size < 0 else size)
        self._note(data)
        return data

    def _note(self, data: bytes) -> None:
        """Look at the quotes of a block."""
        if not self.quote:
            return
        self.quotes += data.count(self.quote)
        if self.stray:
            return
        block = self._before + data
        self._before = block[-2:]
        signs = np.frombuffer(block, np.uint8)
        at = np.flatnonzero(signs[1:-1] == ord(self.quote)) + 1
        alone = ~self._edges[signs[at - 1]] & ~self._edges[signs[at + 1]]
        self.stray = bool(alone.any()) or (not self._escaped and b"\\" + self.quote in block)
