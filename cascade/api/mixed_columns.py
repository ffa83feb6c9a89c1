"""Columns in memory whose values are of several types, such as 1 and "A": an error with the row, or text."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from ..core.errors import DataError
from ..ensemble.protocol.wire import as_text

if TYPE_CHECKING:
    import pyarrow as pa


def by_column(
    columns: Mapping[str, Any], name: str, keys: Mapping[str, str], forced: Collection[str]
) -> dict[str, pa.Array]:
    """The columns as Arrow arrays.

    Args:
        columns: column -> values, as `frames.columns_of` returns them.
        name: of the table, for messages.
        keys: column -> its name in ``data.types``, for messages.
        forced: columns that ``data.types`` has, whose values become text if they are of several types.

    Raises:
        DataError: naming the column and the first value that is of another type than those before, or has no text.
    """
    import pyarrow as pa

    arrays = {}
    for column, values in columns.items():
        found = _array(values)
        if isinstance(found, Exception) and column in forced:
            where, key = f"{name}.{column}", f"data.types.{keys.get(column, column)}"
            found = pa.array([_text(value, where, row, key) for row, value in enumerate(values)], pa.string())
        if isinstance(found, Exception):
            raise DataError(_explained(values, f"{name}.{column}", keys.get(column), found)) from found
        arrays[column] = found
    return arrays


def _explained(values: Any, where: str, key: str | None, error: Exception) -> str:
    """What to say of a column that Arrow cannot keep."""
    low, high = 0, len(values)  # the values before ``low`` go together, those before ``high`` do not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if isinstance(_array(values[:middle]), Exception) else (middle, high)
    value, before = next(iter(values[low:high])), next(iter(values[:1]))
    shown = f"{where}, row {low}: {value!r:.80} ({type(value).__name__})"
    if low == 0 or isinstance(_array([value]), Exception):
        why = "no whole number of 64 bits with a sign" if isinstance(value, int) else " ".join(str(error).split())
        return f"{shown} cannot be kept in a table: {why}{_as_text_instead(value, where, key)}"
    way = "" if key is None else f", or set data.types: {{{key}: text}} (or int, float, bool, timestamp)"
    return f"{shown} does not go with the values before, such as {before!r:.80}; write it as one type{way}"


def _as_text_instead(value: Any, where: str, key: str | None) -> str:
    """What to do about a value that only text can hold, for the end of a message; nothing if text cannot either."""
    try:
        _text(value, where, 0, "")
    except DataError:
        return ""
    return "; write it as text" + ("" if key is None else f", or set data.types: {{{key}: text}}")


def _array(values: Any) -> pa.Array | Exception:
    """The values as Arrow keeps them, or why it cannot."""
    import pyarrow as pa

    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        return error


def _text(value: Any, where: str, row: int, key: str) -> str | None:
    """A value as the text that ``data.types`` makes of it in a column of its kind.

    Raises:
        DataError: naming column, row and key of a value that has no text, such as a list or bytes that are no UTF-8.
    """
    import pandas as pd

    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    try:
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, (bool, np.bool_, float, np.floating)):
            return as_text(value)
        if isinstance(value, (str, int, np.integer, Decimal, date, time, np.datetime64, UUID)):
            str(value).encode()
            return str(value)
    except UnicodeError:
        pass
    raise DataError(f"{where}, row {row}: {value!r:.80} ({type(value).__name__}) is not text, which {key} asks for")
