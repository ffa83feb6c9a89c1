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
        quotes: the number of quotes so far, without those behind the escape sign.
        stray: whether there may be a quote inside a quoted field, or one that opens a field and is never closed: an
            opening quote without a delimiter, a line end or a quote before it, a closing one without one of these
            behind it, or one behind a backslash.
    """

    def __init__(self, stream: pa.NativeFile, config: CsvConfig) -> None:
        self.stream = stream
        self.quote = (config.quote or "").encode()
        self.quotes = 0
        self.stray = False
        self._before = b"\n"
        """The last byte or two, whose neighbours come with the next block."""
        self._edges = np.zeros(256, bool)
        self._edges[[*f"{config.delimiter}{config.quote or ''}\r\n".encode()]] = True
        self._pair = re.compile(re.escape(config.escape.encode()) + b".", re.DOTALL) if config.escape else None
        """The escape sign and what it stands before."""
        sign = re.escape(f"{config.escape}N".encode())
        delimiter = re.escape(config.delimiter.encode())
        # MySQL writes \N for a missing value, which would be read as N.
        self._missing = re.compile(rb"(?:(?<=[\r\n])|(?<=%b)|\A)%b(?=%b|[\r\n]|\Z)" % (delimiter, sign, delimiter))
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes; with an escape sign whole lines, so that no pair and no mark of a missing value is cut."""
        if self._pair is None:
            return self._noted(self._block(size))
        lines, ended = self._rest, False
        while not ended and b"\n" not in lines and (size < 0 or len(lines) < size):
            block = self._block(size - len(lines) if size > 0 else size)
            lines, ended = lines + block, not block
        end = lines.rfind(b"\n") + 1 or len(lines)
        self._rest = lines[end:]
        self._noted(self._pair.sub(b"..", lines[:end]))
        return self._missing.sub(b"", lines[:end])

    def _block(self, size: int) -> bytes:
        return bytes(self.stream.read(None if size < 0 else size))

    def _noted(self, data: bytes) -> bytes:
        """``data``, after a look at its quotes."""
        if not self.quote:
            return data
        block = self._before + data
        signs = np.frombuffer(block, np.uint8)
        # The last byte has no neighbour yet; a quote there is looked at with the next block, and counted here.
        at = np.flatnonzero(signs[1:-1] == ord(self.quote)) + 1
        first = self.quotes - block[1 : len(self._before)].count(self.quote)
        opens = (first + np.arange(len(at))) % 2 == 0
        beside = signs[np.where(opens, at - 1, at + 1)]
        self.stray = self.stray or not self._edges[beside].all() or (self._pair is None and b"\\" + self.quote in block)
        self.quotes += data.count(self.quote)
        self._before = block[-2:]
        return data
