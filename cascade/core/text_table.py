"""Text tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], align: Sequence[str] | None = None) -> str:
    """Rows below their column titles, in aligned columns.

    Args:
        rows: numbers are formatted by `cell_text`, strings are printed as they are (pass an id as a string).
        align: ``left`` or ``right`` for each column. By default, columns that hold only numbers go to the right.
    """
    from tabulate import tabulate

    text = [[cell_text(cell) for cell in row] for row in rows]
    if align is None:
        columns = zip(*rows, strict=True)
        align = ["right" if all(_is_number(cell) for cell in column) else "left" for column in columns]
    return tabulate(text, head, tablefmt="simple", disable_numparse=True, colalign=align or None)


def cell_text(value: Any) -> str:
    """Floats with four decimals, integers with thousands separators, None as an empty cell."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if _is_number(value) else str(value)


def _is_number(value: Any) -> bool:
    """Whether a cell belongs into a column of numbers; None is a missing number."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
