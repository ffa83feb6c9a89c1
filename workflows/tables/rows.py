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

    def __call__(self, at: int) -> str:
        """The chunk's row ``at``, e.g. ``row 3``, or ``row 3 of part-2.csv``."""
        row = self.start + at
        if not self.parts:
            return f"row {row}"
        first, name = self.parts[bisect_right(self.parts, row, key=itemgetter(0)) - 1]
        return f"row {row - first} of {name}"

    def after(self, count: int) -> Rows:
        """The names from ``count`` rows later on."""
        return replace(self, start=self.start + count)


ROWS = Rows()
"""The names of rows of a table that is in one file."""
