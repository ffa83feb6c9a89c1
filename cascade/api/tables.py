"""Tables in memory as a source of the pipeline: written once, in a folder that is named after their content."""

from __future__ import annotations

import errno
import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.pipeline import PipelineConfig
from ..core.errors import DataError
from ..workflows.data.used import used_columns
from .frames import SUFFIXES, is_table, to_arrow

if TYPE_CHECKING:
    import pyarrow as pa

    from .frames import Table

NAMES = ("interactions", "users", "items")
FOLDER = "tables"
"""Below ``runs``."""


def with_tables(config: PipelineConfig, tables: Mapping[str, Table], runs: Path) -> PipelineConfig:
    """``config`` with ``data.source: tables``, reading ``tables`` from a folder below ``runs``."""
    folder = write_tables(tables, runs / FOLDER, config)
    data = config.data.model_copy(update={"source": "tables", "path": str(folder)})
    return config.model_copy(update={"data": data})


def write_tables(tables: Mapping[str, Table], root: Path, config: PipelineConfig) -> Path:
    """Write each table as Parquet; files stay as they are.

    Of columns that ``config`` does not use, only the names are written.

    Returns:
        ``root/<digest>``: the same content is the same folder, so a second run finds its artifacts.

    Raises:
        DataError: there is no table of interactions, or something is no table.
    """
    unknown = [name for name in tables if name not in NAMES]
    if unknown or "interactions" not in tables:
        problem = f"unknown {', '.join(map(str, unknown))}" if unknown else "interactions is missing"
        raise DataError(f"tables: expected interactions and, optionally, users and items; {problem}")
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=root) as scratch:
        aside = Path(scratch) / FOLDER
        aside.mkdir()
        for name, table in tables.items():
            _write(table, name, aside, config)
        folder = root.resolve() / _digest(aside)
        if not folder.exists():
            _rename(aside, folder)
        return folder


def _rename(aside: Path, folder: Path) -> None:
    """Rename ``aside`` to ``folder``, unless another process has just written the same content there."""
    try:
        aside.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _write(table: Any, name: str, folder: Path, config: PipelineConfig) -> None:
    import pyarrow.parquet

    if isinstance(table, (str, Path)) and Path(table).suffix in SUFFIXES:
        if not Path(table).is_file():
            raise DataError(f"{name}: {table} does not exist")
        shutil.copyfile(table, folder / f"{name}{Path(table).suffix}")
    else:
        columns = _used(table, name, config)
        try:
            pyarrow.parquet.write_table(columns, folder / f"{name}.parquet")
        except NotImplementedError as error:  # a column of empty dicts
            raise DataError(f"{name}: cannot be kept as Parquet: {error}") from error


def _used(table: Any, name: str, config: PipelineConfig) -> pa.Table:
    """The table as Arrow; a column that ``config`` does not use has nulls, whatever its values are."""
    import pyarrow as pa

    if not is_table(table):
        return to_arrow(table, name)  # which says what it is
    keys = _keys(name, config)
    columns = [*table] if isinstance(table, Mapping) else [*getattr(table, "column_names", table.columns)]
    wanted = [column for column in columns if str(column) in keys]
    if twins := [column for column in wanted if wanted.count(column) > 1]:
        raise DataError(f"{name}: two columns are named {twins[0]!r}")
    if isinstance(table, Mapping):
        kept: Any = {column: table[column] for column in wanted}
    elif hasattr(table, "loc"):
        kept = table.loc[:, [str(column) in keys for column in columns]]
    else:
        kept = table.select(wanted)
    forced = [column for column, ours in keys.items() if ours in config.data.types]
    found = to_arrow(kept, name, keys, forced).replace_schema_metadata(None)
    for column in dict.fromkeys(str(column) for column in columns if str(column) not in keys):
        found = found.append_column(column, pa.nulls(found.num_rows))
    return found


def _keys(name: str, config: PipelineConfig) -> dict[str, str]:
    """The columns of a table that ``config`` may use, and the name that each has in the config."""
    used = used_columns(config.data, config.schema_)[name]
    mapped = config.data.columns
    own = mapped.get(name, {})
    renamed = {**{o: t for o, t in mapped.items() if isinstance(t, str)}, **(own if isinstance(own, dict) else {})}
    return {ours: ours for ours in used} | {theirs: ours for ours, theirs in renamed.items() if ours in used}


def _digest(folder: Path) -> str:
    sha = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        sha.update(file.name.encode())
        with file.open("rb") as stream:
            sha.update(hashlib.file_digest(stream, "sha256").digest())
    return sha.hexdigest()[:12]
