"""Names of rows in messages: the number of a row and, where a table has several files, the file that it stands in."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

Parts = Sequence[tuple[int, str]]
"""The part files of a table in their order: the number of the table's rows before each, and its name."""


@dataclass(frozen=True)
class Rows:
    """Names the rows of a chunk, counted from 0, without a header."""

    start: int = 0
    """The table's row that is the first of the chunk."""
    parts: Parts = ()
    """Empty for a table that is not in several files."""
    lines: Sequence[bool] = ()
    """For each file, whether it is a header and a line for each row, as a CSV without line breaks in quotes. Empty if
    none is."""

    def __call__(self, at: int) -> str:
        """The chunk's row ``at``, e.g. ``row 3``, or ``row 3 of part-2.csv (line 5)`` as an editor counts."""
        row = self.start + at
        file = max(bisect_right(self.parts, row, key=itemgetter(0)) - 1, 0)
        first, name = self.parts[file] if self.parts else (0, "")
        of = f" of {name}" if name else ""
        line = f" (line {row - first + 2})" if self.lines and self.lines[file] else ""
        return f"row {row - first}{of}{line}"

    def after(self, count: int) -> Rows:
        """The names from ``count`` rows later on."""
        return replace(self, start=self.start + count)


ROWS = Rows()
"""The names of rows of a table that is in one file."""
