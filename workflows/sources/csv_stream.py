"""The bytes of a CSV on their way to Arrow: UTF-8, quotes counted, marks of missing values taken out."""

from __future__ import annotations

import codecs
import io
import re
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from ..config import CsvConfig

if TYPE_CHECKING:
    import pyarrow as pa

MOST_BITS = 100_000
"""Quoted fields and escape signs of a row, at most."""


class CsvStream(io.RawIOBase):
    """Passes a stream on, as UTF-8 and with a line end at its end.

    Args:
        before: the text at its start that is left out.

    Attributes:
        quotes: the number of quotes so far, without those behind the escape sign.
        stray: whether there may be a quote inside a quoted field, or one that opens a field and is never closed: an
            opening quote without a delimiter, a line end or a quote before it, a closing one without one of these
            behind it, or one behind a backslash.
        lines: the number of lines so far.
    """

    def __init__(self, stream: pa.NativeFile, config: CsvConfig, before: str = "") -> None:
        self.stream = stream if is_utf_8(config.encoding) else _as_utf_8(stream, config.encoding)
        left = len(before.encode())
        while left and (read := self.stream.read(left)):
            left -= len(read)
        self.quote = (config.quote or "").encode()
        self.quotes = 0
        self.stray = False
        self.lines = 0
        self._before = b"\n"
        """The last byte or two, whose neighbours come with the next block."""
        self._edges = np.zeros(256, bool)
        self._edges[[*f"{config.delimiter}{config.quote or ''}\r\n".encode()]] = True
        self._escaped = _Escaped(config.delimiter, config.quote, config.escape) if config.escape else None
        self._rest = b""
        self._kept = b""
        """A carriage return that is read, and belongs to the next block."""
        self._last = b"\n"
        """The last byte that was read."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes; with an escape sign whole rows, so that no pair and no mark of a missing value is cut."""
        return self._noted(self._block(size)) if self._escaped is None else self._rows(size, self._escaped)

    def _rows(self, size: int, escaped: _Escaped) -> bytes:
        """The next rows, of at most ``size`` bytes, without marks of missing values."""
        rows, end, ended = self._rest, 0, False
        while not ended and not end and (size < 0 or len(rows) < size):
            block = self._block(size - len(rows) if size > 0 else size)
            rows, ended = rows + block, not block
            end = escaped.end(rows)
        end = end or len(rows)
        self._rest = rows[end:]
        self._noted(escaped.hidden(rows[:end]))
        return escaped.without_marks(rows[:end])

    def _block(self, size: int) -> bytes:
        """As many bytes as are asked for, or all that are left; one less where a carriage return would be the last.

        Arrow drops a line feed at the start of a block behind one, even inside quotes.
        """
        data, self._kept = self._kept, b""
        data += bytes(self.stream.read(None if size < 0 else size - len(data)))
        while len(data) < size and (more := self.stream.read(size - len(data))):
            data += more
        if 1 < len(data) == size and data.endswith(b"\r"):
            data, self._kept = data[:-1], b"\r"
        elif len(data) < size and (data[-1:] or self._last) not in b"\r\n":
            data += b"\n"  # Arrow takes a header without a line end for nothing at all
        self._last = data[-1:] or self._last
        self.lines += int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")))
        self.lines += data.count(b"\r") - data.count(b"\r\n") if b"\r" in data else 0
        return data

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
        self.stray = (
            self.stray or not self._edges[beside].all() or (self._escaped is None and b"\\" + self.quote in block)
        )
        self.quotes += data.count(self.quote)
        self._before = block[-2:]
        return data


def is_utf_8(encoding: str) -> bool:
    """Whether text of an encoding is UTF-8 as it is."""
    return codecs.lookup(encoding).name == "utf-8"


def _as_utf_8(stream: pa.NativeFile, encoding: str) -> pa.NativeFile:
    import pyarrow as pa

    return pa.transcoding_input_stream(stream, encoding, "utf-8")


class _Escaped:
    """What an escape sign does in whole rows."""

    def __init__(self, delimiter: str, quote: str | None, escape: str) -> None:
        self._mark = f"{escape}N".encode()
        sign, stop, mark = (re.escape(text.encode()) for text in (escape, delimiter, f"{escape}N"))
        pair, kept = b"(?<=%b)." % sign, b"(?P<open>(?!))"
        if quote:
            sides = re.escape(quote.encode())
            rest = b"[^%b%b]*+" % (sides, sign)
            kept = b"%b%b(?:(?:%b.|%b%b)%b)*+(?:%b|(?P<open>))" % (sides, rest, sign, sides, sides, rest, sides)
            mark += b"|%b%b%b" % (sides, mark, sides)
        marked = rb"(?<!%b)(?:%b)(?=%b|[\r\n]|\Z)" % (sign, mark, stop)
        self._pair = re.compile(sign + b".", re.DOTALL)
        self._bits = re.compile(
            rb"(?P<edge>[%b%b\r\n])(?:%b|(?P<kept>%b|(?<!%b)%b))" % (sign, stop, marked, pair, sign, kept), re.DOTALL
        )
        """A mark of a missing value behind its ``edge``; else ``kept``, what an escape sign stands before or a quoted
        field, in which nothing is a mark, with ``open`` if it does not end."""

    def end(self, rows: bytes) -> int:
        """The end of the last whole row: that of the last line that does not end in a field; 0 if there is none."""
        rows = b"\n" + rows
        at = rows.rfind(b"\n")
        for bit in reversed(deque(self._bits.finditer(rows), maxlen=MOST_BITS)):
            if bit["open"] is not None or bit.start() < at < bit.end():
                at = rows.rfind(b"\n", 0, bit.start() + 1)
            elif bit.end() <= at:
                break
        return at

    def hidden(self, rows: bytes) -> bytes:
        """The rows with dots in the place of the escape signs and what they stand before."""
        return self._pair.sub(b"..", rows)

    def without_marks(self, rows: bytes) -> bytes:
        """The rows with empty fields in the place of those that are the escape sign and N, in quotes or not.

        MySQL writes that for a missing value; it would be read as N.
        """
        return self._bits.sub(rb"\g<edge>\g<kept>", b"\n" + rows)[1:] if self._mark in rows else rows
