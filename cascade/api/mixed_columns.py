"""Columns in memory whose values are of several types, such as 1 and "A": an error with the row, or text."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from ..core.errors import DataError

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
        DataError: naming the column and the first value that is of another type than those before.
    """
    import pyarrow as pa

    arrays = {}
    for column, values in columns.items():
        found = _array(values)
        if isinstance(found, Exception) and column in forced:
            found = pa.array([_text(value) for value in values], pa.string())
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
    if low == 0:
        return f"{shown} cannot be kept in a table: {' '.join(str(error).split())}"
    way = "" if key is None else f", or set data.types: {{{key}: text}} (or int, float, bool, timestamp)"
    return f"{shown} does not go with the values before, such as {before!r:.80}; write it as one type{way}"


def _array(values: Any) -> pa.Array | Exception:
    """The values as Arrow keeps them, or why it cannot."""
    import pyarrow as pa

    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        return error


def _text(value: Any) -> str | None:
    """A value as text: 5.0 is written as 5, as ``data.types`` does."""
    import pandas as pd

    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
