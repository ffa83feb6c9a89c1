"""Writes a Feast repository that QueryFeast can read: every entity has the name of its join key."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .tables import StockTable

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

EVENT_TIME = "event_timestamp"
PROJECT = "stock"
SETTINGS = f"""project: {PROJECT}
provider: local
registry: data/registry.db
offline_store: {{type: file}}
online_store: {{type: sqlite, path: data/online_store.db}}
entity_key_serialization_version: 3
"""


def write_repo(folder: Path, tables: Iterable[StockTable]) -> FeatureStore:
    """Write the repository and register its views. QueryFeast's constructor materializes them."""
    from feast import FeatureStore

    (folder / "data").mkdir(parents=True)
    (folder / "feature_store.yaml").write_text(SETTINGS)
    store = FeatureStore(repo_path=str(folder))
    views = [_view(folder / "data", table) for table in tables]
    store.apply([*(entity(table) for table in tables), *views])
    return store


def entity(table: StockTable) -> Any:
    from feast import Entity

    kind = _feast_type(table.rows.schema.field(table.key).type)
    return Entity(name=table.key, join_keys=[table.key], value_type=kind.to_value_type())


def _view(folder: Path, table: StockTable) -> FeatureView:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from feast import FeatureView, Field, FileSource

    file = folder / f"{table.view}.parquet"
    now = pa.scalar(datetime.now(UTC), pa.timestamp("us", tz="UTC"))
    pq.write_table(table.rows.append_column(EVENT_TIME, pa.repeat(now, len(table.rows))), file)
    fields = [
        Field(name=name, dtype=_feast_type(table.rows.schema.field(name).type)) for name in table.rows.column_names
    ]
    source = FileSource(name=f"{table.view}_source", path=str(file), timestamp_field=EVENT_TIME)
    return FeatureView(name=table.view, entities=[entity(table)], schema=fields, source=source)


def _feast_type(kind: Any) -> Any:
    """Feast's type of an Arrow type."""
    import pyarrow as pa
    from feast.types import Array, Float64, Int32, Int64, String

    if pa.types.is_list(kind):
        return Array(_feast_type(kind.value_type))
    return {pa.int32(): Int32, pa.int64(): Int64, pa.float64(): Float64, pa.string(): String}[kind]
