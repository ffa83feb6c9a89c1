"""The table of items alone, for those who need no interactions: from a file, or from the source of the config."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import ConfigError, DataError
from ..config import DataConfig
from ..tables.rows import Rows
from ..tables.validate import check_required
from . import open_source
from .files import TableFiles, find_tables, table_at
from .mapping import check_columns, new_names
from .table import open_table, part_reader

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "items"


def open_items(
    config: DataConfig, columns: Collection[str], categories: Collection[str] = (), file: Path | None = None
) -> tuple[pa.Table, Rows]:
    """The ``columns`` of the items, and the names of their rows for messages.

    Args:
        config: says how columns are named and read, and where the items are if ``file`` is None.
        categories: as in `sources.open_source`.
        file: a Parquet or CSV file, or a folder of such files.

    Raises:
        ConfigError: the config names no source of items, or a column that is not there.
        DataError: a column is missing, or a file cannot be read.
    """
    if file is None and config.source != "tables":
        table = open_source(config).items
        if table is None:
            raise DataError(f"data.source {config.source}: has no table of items; name a file with --items")
        check_required(table.column_names, NAME, sorted(columns))
        return table.select(sorted(columns)), Rows()
    files = _of_config(config) if file is None else table_at(NAME, file)
    reader = part_reader(files, config)
    having = {part.file: reader.names(part.file) for part in files.parts}
    names = list(dict.fromkeys([*(name for each in having.values() for name in each), *files.keys]))
    if isinstance(own := config.columns.get(NAME), dict):
        check_columns({NAME: own}, {NAME: names})
    ours = new_names(config.columns, NAME, names)
    check_required([*ours], NAME, sorted(columns))
    found = open_table(files, config, having, {name: ours[name] for name in sorted(columns)}, categories)
    return found.whole(), Rows(0, found.parts, found.lines)


def _of_config(config: DataConfig) -> TableFiles:
    if config.path is None:
        raise ConfigError("data.path: source tables needs a folder that holds the items; or name a file with --items")
    folder = Path(config.path).expanduser()
    files = find_tables(folder) if folder.is_dir() else {}
    if NAME not in files:
        raise DataError(f"{folder}: holds no table of items; name a file with --items")
    return files[NAME]
