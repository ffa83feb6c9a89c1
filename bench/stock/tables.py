"""The tables that the stock graph reads from Feast: users and items with their raw columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.artifact import Artifact
from ...core.errors import ConfigError
from ...core.features import GAP, FeatureSchema

if TYPE_CHECKING:
    import pyarrow as pa

HISTORY = "history_ids"
LARGEST_ID = 2**31 - 1
"""QueryFaiss casts ids to int32."""


@dataclass(frozen=True)
class StockTable:
    """The table of a feature view."""

    view: str
    """Name of the view."""
    key: str
    """Name of the key column."""
    rows: pa.Table
    """The key is int64 for users and int32 for items. Integers are int64, or float64 if some are missing; floats are
    float64; the others are text, and lists of these."""

    @property
    def columns(self) -> list[str]:
        return [name for name in self.rows.column_names if name != self.key]


@dataclass(frozen=True)
class StockTables:
    """Both tables, and the context of every request."""

    users: StockTable
    items: StockTable
    context: Mapping[str, Any]
    """Context column -> its most frequent value."""


def stock_tables(artifacts: Mapping[str, Artifact]) -> StockTables:
    """The tables of these artifacts. Only users with a history are included.

    Raises:
        ConfigError: if merlin-systems' operators do not support the ids, missing values or features.
    """
    import pyarrow as pa

    data, schema = artifacts["data"].path, FeatureSchema.load(artifacts["etl"].path / "schema.json")
    kinds = json.loads((data / "tables.json").read_text())["columns"]
    for name in ("user_id", "item_id"):
        if kinds["interactions"][name] != "int":
            raise ConfigError(f"{name}: merlin-systems takes whole numbers only, but these ids are text")
    if GAP in schema.names("user"):
        raise ConfigError(f"history.gaps: merlin-systems has no operator that computes {GAP}; compare without")
    for feature in schema:
        if feature.kind == "vector":
            raise ConfigError(f"items.{feature.name}: the stock graph is not compared where items have vectors")
    raw = {name for feature in schema.side("user", "context") for name in feature.raw} - {"user_id", HISTORY}
    context = {name: _most_frequent(data, name) for name in sorted(raw) if name not in kinds["users"]}
    profile = sorted(raw - set(context))
    users = _with_history(artifacts, _read(data / "users.parquet", ["user_id", *profile]), schema["history"].dims[0])
    for name, value in context.items():
        users = users.append_column(name, pa.repeat(value, len(users)))
    own = sorted({name for feature in schema.side("item") for name in feature.raw} - {"item_id"})
    items = storable(_read(data / "items.parquet", ["item_id", *own]), "items")
    items = items.set_column(0, "item_id", items["item_id"].cast("int32"))  # as QueryFaiss gives them
    return StockTables(
        StockTable("user_features", "user_id", storable(users, "users")),
        StockTable("item_features", "item_id", items),
        context,
    )


def storable(table: pa.Table, name: str) -> pa.Table:
    """``table`` with the column types that QueryFeast can read.

    Raises:
        ConfigError: if an id is too large or a text is missing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    key = table.column_names[0]
    if pc.max(table[key]).as_py() > LARGEST_ID:
        raise ConfigError(f"{name}.{key}: QueryFaiss takes ids up to {LARGEST_ID}")
    for at, column in enumerate(table.column_names):
        values = table[column].combine_chunks()
        if not values.null_count:
            continue
        if pa.types.is_list(values.type):
            values = pc.coalesce(values, pa.scalar([], values.type))
        elif pa.types.is_integer(values.type):
            values = values.cast(pa.float64())
        elif not pa.types.is_floating(values.type):
            raise ConfigError(f"{name}.{column}: {values.null_count} values are missing; QueryFeast fails on such text")
        table = table.set_column(at, column, values)
    return table


def _read(file: Path, columns: list[str]) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_table(file, columns=columns)


def _with_history(artifacts: Mapping[str, Artifact], users: pa.Table, length: int) -> pa.Table:
    """The users who have a history, with its last ``length`` items."""
    import pyarrow.compute as pc

    stored = _read(artifacts["features"].path / "user_history.parquet", ["user_id", HISTORY])
    stored = stored.filter(pc.greater(pc.list_value_length(stored[HISTORY]), 0))
    row = pc.index_in(users["user_id"], value_set=stored["user_id"])
    known = users.filter(row.is_valid())
    history = stored[HISTORY].take(row.drop_null())
    return known.append_column(HISTORY, pc.list_slice(history, 0, length))


def _most_frequent(data: Path, column: str) -> Any:
    """The most frequent value over all interactions, the first of several on a tie."""
    import pyarrow.compute as pc

    counts = _read(data / "interactions", [column])[column].drop_null().value_counts()
    first = pc.index(counts.field("counts"), pc.max(counts.field("counts"))).as_py()
    return counts.field("values")[first].as_py()
