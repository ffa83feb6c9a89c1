"""What is known of a table's part files before their values are read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Scan:
    """Types and size of a table."""

    types: Mapping[str, Sequence[tuple[pa.DataType, Path]]]
    """Column -> its type, and the file that has this type."""
    rows: Mapping[Path, int]
    """The number of rows of each file."""
    lined: Collection[Path] = ()
    """CSV files that are a header and a line for each row."""
    whole: Collection[str] = ()
    """Columns of text whose values are whole numbers, written like 3 or 3.0."""
    changing: Mapping[str, str] = field(default_factory=dict)
    """Column of a CSV that stays text -> a value that would not be the same text as a number."""


def refuse_twins(file: Path, names: Sequence[str], header: Sequence[str]) -> None:
    """Raise a DataError if the file has two columns of a name that is read."""
    for name in names:
        if header.count(name) > 1:
            raise DataError(f"{file}: two columns are named {name!r}; rename one")
