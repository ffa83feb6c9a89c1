"""What the data stage holds at once: users and items as whole tables, and interactions part by part."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import cast

from ...core.artifact import Artifact
from ...core.memory import MemoryNeed
from ...core.stage import Sections
from ..config import DataConfig, SchemaConfig
from ..sources.files import TableFiles, find_tables
from .spool import PART_ROWS
from .unknown import ENTITIES
from .used import used_columns

COPIES = 3
"""Of a table: as it was read, in canonical types, and sorted."""
VALUE_BYTES = 16
"""Bytes of a number or a short text in memory."""
UNPACKED = {".gz": 8, ".bz2": 10, ".zst": 8}
"""How many times larger a compressed CSV is when it is unpacked, about."""


def memory(sections: Sections, parents: Mapping[str, Artifact]) -> MemoryNeed:
    """An estimate from the sizes of the files; what a registered source holds is not known."""
    config, schema = cast(DataConfig, sections["data"]), cast(SchemaConfig, sections["schema"])
    used = used_columns(config, schema)
    parts = {f"{PART_ROWS:,} interactions": COPIES * VALUE_BYTES * PART_ROWS * len(used["interactions"])}
    if config.source == "tables" and config.path is not None and (folder := Path(config.path).expanduser()).is_dir():
        files = find_tables(folder)
        parts |= {f"the table {n}": COPIES * table_bytes(files[n], used[n]) for n in ENTITIES.values() if n in files}
    return MemoryNeed(parts, "name fewer columns in schema and data.keep, or shorten the texts and lists of a table")


def table_bytes(table: TableFiles, columns: Collection[str]) -> int:
    """Bytes of the ``columns`` of a table in memory, about; of all columns for CSV, whose columns lie side by side."""
    if table.format == "csv":
        return sum(part.file.stat().st_size * UNPACKED.get(part.file.suffix, 1) for part in table.parts)
    return sum(_parquet_bytes(part.file, columns) for part in table.parts)


def _parquet_bytes(file: Path, columns: Collection[str]) -> int:
    """Of columns by their own names; a column that ``data.columns`` renames counts only if both names are used."""
    import pyarrow.parquet as pq

    meta, total = pq.read_metadata(file), 0
    for number in range(meta.num_row_groups):
        group = meta.row_group(number)
        chunks = (group.column(place) for place in range(group.num_columns))
        own = [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns]
        total += sum(max(chunk.total_uncompressed_size, VALUE_BYTES * chunk.num_values) for chunk in own)
    return total
