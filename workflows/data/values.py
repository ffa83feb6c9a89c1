"""Checks of features' values that need their role: numbers where numbers are needed, and a value at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ...core.errors import DataError
from ..config import SchemaConfig
from ..sources.text_types import pointed
from ..tables.parquet import batches
from ..tables.rows import Rows
from .spool import GROUP_ROWS

if TYPE_CHECKING:
    import pyarrow as pa

    from ..tables.raw_features import Kinds
    from .spool import Spool

NUMBER = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"


def check_values(
    schema: SchemaConfig,
    kinds: Kinds,
    columns: Mapping[str, Sequence[str]],
    entities: Mapping[str, pa.Table],
    spool: Spool,
    rows: Rows | None,
    decimal: str,
) -> None:
    """Check that features have values, and that those of ``schema.dense`` are no text.

    Args:
        kinds: of the columns in the data artifact.
        columns: table -> the names of all columns of the source.
        rows: names the rows of interactions, for messages; None if some of them were left out.
        decimal: the decimal sign of numbers that are text.

    Raises:
        DataError: naming table, column and, for text, the value; and the keys that would help.
    """

    def tables_of(name: str, column: str) -> Iterable[pa.Table]:
        return [entities[name]] if name in entities else batches(spool.file, GROUP_ROWS, [column])

    for key in ("sparse", "dense", "text", "vectors"):
        for column in getattr(schema, key):
            having = [name for name, known in kinds.items() if column in known]
            if not any(_has_value(table[column]) for name in having for table in tables_of(name, column)):
                where = " and ".join(having) or next(name for name, names in columns.items() if column in names)
                out = f"take it out of schema.{key} until it has values"
                raise DataError(f"{where}.{column}: has no value in any row; {out}")
    for column in schema.dense:
        for name, known in kinds.items():
            if known.get(column) == "string":
                _explain(name, column, tables_of(name, column), rows, decimal)


def _has_value(column: pa.ChunkedArray) -> bool:
    """Whether a value is not null, or a list not empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(column.type):
        return bool(pc.any(pc.greater(pc.list_value_length(column), 0)).as_py())
    return bool(len(column) > column.null_count)


def _explain(name: str, column: str, tables: Iterable[pa.Table], rows: Rows | None, decimal: str) -> None:
    """Raise a DataError for a column of text that should hold numbers."""
    import pyarrow.compute as pc

    where = f"{name}.{column}"
    sign = f", write it with the data.csv.decimal {decimal!r}"
    if decimal == ".":
        sign = ", set data.csv.decimal if it has a decimal comma"
    for table, start in _with_starts(tables):
        wrong = pc.fill_null(pc.invert(pc.match_substring_regex(pointed(table[column], decimal), NUMBER)), False)
        if pc.any(wrong).as_py():
            row = int(pc.index(wrong, True).as_py())
            raise DataError(
                f"{where}{_place(table, row, start, rows)}: {table[column][row].as_py()!r} is not a number, which "
                f"schema.dense needs; correct it or leave it empty{sign}, or move {column} to schema.sparse"
            )
    raise DataError(f"{where}: the numbers are text; data.types: {{{column}: float}} reads them as numbers")


def _with_starts(tables: Iterable[pa.Table]) -> Iterator[tuple[pa.Table, int]]:
    start = 0
    for table in tables:
        yield table, start
        start += table.num_rows


def _place(table: pa.Table, row: int, start: int, rows: Rows | None) -> str:
    """The row, after a comma; in users and items, which are sorted by now, the id."""
    key = next((key for key in ("user_id", "item_id") if key in table.column_names), None)
    if key is not None:
        return f", {key} {table[key][row].as_py()!r}"
    return "" if rows is None else f", {rows(start + row)}"
