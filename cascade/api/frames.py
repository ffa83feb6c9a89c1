"""Tables as users hold them: pandas, polars, Arrow, mappings of columns, and files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from ..core.errors import DataError
from .mixed_columns import by_column

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Table: TypeAlias = pd.DataFrame | pa.Table | Mapping[str, Any] | str | Path
    """A DataFrame (pandas or polars), an Arrow table, column name -> values, or a .parquet or .csv file."""

SUFFIXES = (".parquet", ".csv")


def is_table(value: object) -> bool:
    """Whether ``value`` is a table in memory: a DataFrame, an Arrow table, or a mapping of columns."""
    return isinstance(value, Mapping) or hasattr(value, "column_names") or hasattr(value, "columns")


def to_arrow(
    table: Any, name: str, keys: Mapping[str, str] = MappingProxyType({}), forced: Collection[str] = ()
) -> pa.Table:
    """``table`` as an Arrow table, without pandas' index.

    Args:
        name: what messages call it.
        keys: column -> its name in ``data.types``, for messages.
        forced: columns that ``data.types`` has, whose values become text if they are of several types.

    Raises:
        DataError: it is no table, a column holds values of several types, or the file cannot be read.
    """
    import pyarrow as pa

    try:
        if isinstance(table, (str, Path)):
            return _read(Path(table), name)
        if isinstance(table, pa.Table):
            return table
        if hasattr(table, "to_arrow") and hasattr(table, "columns"):
            return table.to_arrow()
        if isinstance(table, Mapping):
            lengths = {len(values) for values in table.values()}  # of values that have none, a TypeError says so
            return pa.table(by_column(columns_of(table), name, keys, forced) if len(lengths) == 1 else dict(table))
        if hasattr(table, "iloc") and hasattr(table, "columns"):
            if not table.columns.is_unique:
                raise ValueError(f"two columns are named {table.columns[table.columns.duplicated()][0]!r}")
            return pa.table(by_column(columns_of(table), name, keys, forced))
    except (pa.ArrowException, OSError, TypeError, ValueError) as error:
        raise DataError(f"{name}: cannot be read as a table: {' '.join(str(error).split())}") from error
    raise DataError(
        f"{name}: expected a DataFrame, an Arrow table or the path of a .parquet or .csv file, got a "
        f"{type(table).__name__}"
    )


def columns_of(table: Any) -> dict[str, Any]:
    """Column name -> values, of a table in memory, without copying where that is possible."""
    if isinstance(table, Mapping):
        return dict(table)
    names = table.column_names if hasattr(table, "column_names") else table.columns
    return {str(name): table[name] for name in names}


def _read(file: Path, name: str) -> pa.Table:
    import pyarrow.csv
    import pyarrow.parquet

    if file.suffix not in SUFFIXES:
        raise DataError(f"{name}: expected a .parquet or .csv file, got {file}")
    if not file.is_file():
        raise DataError(f"{name}: {file} does not exist")
    return pyarrow.parquet.read_table(file) if file.suffix == ".parquet" else pyarrow.csv.read_csv(file)
