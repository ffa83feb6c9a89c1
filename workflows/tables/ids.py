"""Raw ids and rows: a row is the position of a user or an item in its table of the data artifact."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from .canonical import as_floats, kind_of, largest_exact, one_array
from .rows import ROWS, Rows

if TYPE_CHECKING:
    import pyarrow as pa

ZEROS = r"(:[0-9]{2}|\.[0-9]*[1-9])\.?0+(Z|[+-][0-9]+)?$"
"""The end of a time of day whose fraction has zeros at its end, which only say in which unit it was stored."""
INEXACT = "is too large to be exact as a float; write it as an integer or as text in the table"


@lru_cache(maxsize=4)
def id_columns(data: Path) -> tuple[pa.Array, pa.Array]:
    """user_id and item_id of the data artifact in row order; cached, because each task of a process needs them."""
    import pyarrow.parquet as pq

    users = pq.read_table(data / "users.parquet", columns=["user_id"])["user_id"]
    items = pq.read_table(data / "items.parquet", columns=["item_id"])["item_id"]
    return users.combine_chunks(), items.combine_chunks()


def plain_ids(table: pa.Table, name: str, columns: Sequence[str], rows: Rows = ROWS) -> pa.Table:
    """``table`` with ids that answers can give back: whole numbers and text.

    Ids such as 3.0, which pandas writes where an id was missing once, become whole numbers. Dates, times, true and
    false become text, such as 2024-01-31 10:00:00, in place of the numbers that features have for them.

    Args:
        name: of the table, for messages.
        rows: names the table's rows, for messages.

    Raises:
        DataError: naming the first id that has a fraction, or is too large for a float to hold it exactly; or the
            column if ids are durations.
    """
    import pyarrow as pa

    for column in columns:
        if column not in table.column_names:
            continue
        table = _with_text(table, column, f"{name}.{column}")
        if kind_of(table[column].type) != "float":
            continue
        floats, most = as_floats(one_array(table[column])), largest_exact(table[column].type)
        values = floats.fill_null(np.nan).to_numpy()
        missing = np.isnan(values)
        exact = missing | ((np.abs(values) < most) & (np.floor(values) == values))
        if not exact.all():
            row = int(np.argmin(exact))
            if abs(values[row]) < most:
                why = f"has a fraction, ids are whole numbers or strings; data.types: {{{column}: text}} keeps it"
            else:
                why = INEXACT
            raise DataError(f"{name}.{column}, {rows(row)}: {values[row]} {why}")
        ids = pa.array(np.where(missing, 0, values).astype(np.int64), mask=missing)
        table = table.set_column(table.column_names.index(column), column, ids)
    return table


def _with_text(table: pa.Table, column: str, where: str) -> pa.Table:
    """``table`` with dates, times, true and false in a column as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = table[column].type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_duration(kind):
        raise DataError(
            f"{where}: wrong type {kind}, ids are whole numbers or text; data.types: {{{column}: int}} reads "
            "durations as whole seconds"
        )
    if pa.types.is_interval(kind) or not (pa.types.is_temporal(kind) or pa.types.is_boolean(kind)):
        return table
    text = pc.replace_substring_regex(one_array(table[column]).cast(pa.string()), ZEROS, r"\1\2")
    return table.set_column(table.column_names.index(column), column, text)


def check_exact(ids: pa.Array, where: str, rows: Rows) -> None:
    """No id is a float so large that another id may have become the same float.

    Another type would hide this, so it is checked before ids are read as one.

    Args:
        where: table and column.
        rows: names the rows of ``ids``.

    Raises:
        DataError: naming the first such id.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(ids.type):
        return
    floats = as_floats(ids)
    inexact = pc.greater_equal(pc.abs(floats), largest_exact(ids.type))
    if pc.any(inexact).as_py():
        row = pc.index(inexact, True).as_py()
        raise DataError(f"{where}, {rows(row)}: {floats[row].as_py()} {INEXACT}")


def rows_of(ids: pa.ChunkedArray | NDArray[Any], known: pa.Array | NDArray[Any]) -> NDArray[np.int32]:
    """The row in ``known`` of each of ``ids``.

    Args:
        ids: an Arrow column [n], or an array of any shape.
        known: [N] ids, all different, of the same type.

    Returns:
        int32, in the shape of ``ids``.

    Raises:
        ValueError: naming the first id that is not in ``known``.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    shape = ids.shape if isinstance(ids, np.ndarray) else (len(ids),)
    values = pa.array(known) if isinstance(known, np.ndarray) else known
    column = pa.array(ids.reshape(-1), values.type) if isinstance(ids, np.ndarray) else ids
    rows = pc.index_in(column, value_set=values)
    if rows.null_count:
        unknown = column.filter(rows.is_null())[0].as_py()
        raise ValueError(f"ids: {unknown!r} is not one of the {len(known):,} known ids")
    return np.asarray(rows.to_numpy(), np.int32).reshape(shape)
