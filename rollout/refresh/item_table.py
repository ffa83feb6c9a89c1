"""Reads the items that a release shall have, in the types that it was made with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import DataError
from ...ensemble.repository.refresh_files import ITEM_ID, ItemSpec
from ...workflows.config import DataConfig
from ...workflows.data.ingest import checked_entities
from ...workflows.sources.items import open_items
from ...workflows.tables.canonical import arrow_type, kind_of
from ...workflows.tables.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "items"
TAKES = {
    "int": ("float",),
    "float": ("int",),
    "string": ("int", "float"),
    "list_int": ("list_float",),
    "list_float": ("list_int",),
    "list_string": ("list_int", "list_float"),
}
"""Kind -> other kinds whose values can be read as it. Numbers with a fraction are no whole numbers."""


def item_table(spec: ItemSpec, config: DataConfig, file: Path | None) -> pa.Table:
    """The raw columns of the items, checked as the data stage does, in the types of ``spec``.

    Args:
        file: None for the items of ``data.source``.

    Raises:
        ConfigError: the config names no items.
        DataError: naming column and row of what is missing, of a wrong type, or there twice.
    """
    text = {name: "text" for name, kind in spec.kinds.items() if kind == "string" and name not in config.separators}
    config = config.model_copy(update={"types": {**text, **config.types}})
    categories = [feature["name"] for feature in spec.features if feature["kind"] == "categorical"]
    table, rows = open_items(config, spec.kinds, categories, file)
    filled = [name for name in table.column_names if name == ITEM_ID or _has_values(table[name])]
    vectors = [each["name"] for each in spec.features if each["kind"] == "vector" and each["name"] in filled]
    dense = [each["name"] for each in spec.features if each["kind"] == "continuous"]
    found = checked_entities(table.select(filled), NAME, vectors, dense, rows)
    return _in_types(found, spec, rows)


def id_table(spec: ItemSpec, config: DataConfig, file: Path) -> pa.Array:
    """The ids in the column ``item_id`` of a file; raises as `item_table` does."""
    only = ItemSpec({ITEM_ID: spec.kinds[ITEM_ID]}, [], {}, None)
    return item_table(only, config, file)[ITEM_ID].combine_chunks()


def _has_values(column: pa.ChunkedArray) -> bool:
    return bool(len(column) > column.null_count)


def _in_types(table: pa.Table, spec: ItemSpec, rows: Rows) -> pa.Table:
    """The table with the columns of ``spec``; one without any value has missing ones."""
    import pyarrow as pa

    vectors = {feature["name"]: feature["length"] for feature in spec.features if feature["kind"] == "vector"}
    columns = {}
    for name, kind in spec.kinds.items():
        wanted = arrow_type(kind) if name not in vectors else pa.list_(pa.float32())
        if name not in table.column_names:
            empty = kind.startswith("list_")
            columns[name] = pa.array([[]] * len(table), wanted) if empty else pa.nulls(len(table), wanted)
            continue
        columns[name] = _as(table[name], wanted, kind, name)
        if name in vectors:
            _check_width(columns[name], vectors[name], name, rows)
    return pa.table(columns)


def _as(column: pa.ChunkedArray, wanted: pa.DataType, kind: str, name: str) -> pa.ChunkedArray:
    """A column as the type of a kind, if that keeps its values."""
    import pyarrow as pa

    found = str(kind_of(column.type))
    if found == kind or found in TAKES.get(kind, ()):
        try:
            return column.cast(wanted, safe=kind == "int")
        except pa.ArrowInvalid as error:
            raise DataError(f"{NAME}.{name}: expected {kind}, as the release was trained with: {error}") from None
    raise DataError(
        f"{NAME}.{name}: expected {kind}, as the release was trained with, has {column.type}; write it so in the "
        "table, or say in data.types or data.separators how to read it"
    )


def _check_width(column: pa.ChunkedArray, width: int, name: str, rows: Rows) -> None:
    import numpy as np
    import pyarrow.compute as pc

    sizes = np.asarray(pc.list_value_length(column).fill_null(0))
    wrong = (sizes > 0) & (sizes != width)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{NAME}.{name}, {rows(row)}: expected {width} numbers, as in the release, has {sizes[row]}")
