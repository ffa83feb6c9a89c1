"""Source ``tables``: a folder of ``interactions``, ``users`` and ``items``, each .csv or .parquet (file or folder)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ...core.errors import ConfigError, DataError
from ...core.inputs import Inputs, file_inputs
from ..config import DataConfig
from ..tables.canonical import split_text
from ..tables.validate import nearest
from .source import Source

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

T = TypeVar("T")

CHUNK_ROWS = 262_144
CSV_ROW_BYTES = 32
"""An estimate, for the progress bar."""


def open_source(config: DataConfig) -> Source:
    """The tables in ``data.path``, with columns renamed by ``data.columns`` and text split by ``data.separators``.

    Raises:
        ConfigError: if the folder, or a column that the config names, does not exist.
        DataError: if there are no interactions, or a file cannot be read.
    """
    if config.path is None:
        raise ConfigError("data.path: source tables needs a folder that holds interactions.parquet or interactions.csv")
    folder = Path(config.path).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"data.path: {folder} is not a folder")
    files = _files(folder)
    if "interactions" not in files:
        raise DataError(f"{folder}: no interactions.parquet and no interactions.csv")
    tables = {name: _open(file) for name, file in files.items()}
    _check_mapping(config, {name: table.schema.names for name, table in tables.items()})
    whole = {name: _read(tables[name], config) for name in ("users", "items") if name in tables}

    def chunks() -> Iterator[pa.Table]:
        yield from _chunks(tables["interactions"], config)

    return Source(chunks, _rows(tables["interactions"], files["interactions"]), **whole)


def table_inputs(config: DataConfig) -> Inputs:
    """The files of the tables; none if there is no folder, which `open_source` refuses."""
    if config.path is None:
        return {}
    folder = Path(config.path).expanduser()
    return file_inputs(_files(folder).values(), folder)


def _files(folder: Path) -> dict[str, Path]:
    return {name: found for name in ("interactions", "users", "items") if (found := _find(folder, name))}


def _find(folder: Path, name: str) -> Path | None:
    return next((folder / f"{name}{end}" for end in (".parquet", ".csv") if (folder / f"{name}{end}").exists()), None)


def _open(file: Path) -> ds.Dataset:
    import pyarrow as pa
    import pyarrow.dataset as ds

    try:
        return ds.dataset(file, format=file.suffix[1:])
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file}: cannot be read: {error}") from None


def _rows(table: ds.Dataset, file: Path) -> int:
    return table.count_rows() if file.suffix == ".parquet" else file.stat().st_size // CSV_ROW_BYTES


def _check_mapping(config: DataConfig, columns: dict[str, list[str]]) -> None:
    """Check that each column of the source that the config names is in one of the tables."""
    known = [column for names in columns.values() for column in names]
    for ours, theirs in config.columns.items():
        if theirs not in known:
            raise ConfigError(f"data.columns.{ours}: no table has a column {theirs!r}{nearest(theirs, known)}")
    renamed = {config.columns.get(name, name) for name in config.separators}
    for name in renamed - set(known):
        raise ConfigError(f"data.separators.{name}: no table has such a column{nearest(name, known)}")


def _ours(table: pa.Table, config: DataConfig) -> pa.Table:
    back = {theirs: ours for ours, theirs in config.columns.items()}
    renamed = table.rename_columns([back.get(name, name) for name in table.column_names])
    return split_text(renamed, config.separators)


def _read(table: ds.Dataset, config: DataConfig) -> pa.Table:
    return _ours(_checked(lambda: table.to_table()), config)


def _chunks(table: ds.Dataset, config: DataConfig) -> Iterator[pa.Table]:
    """The chunks in file order; one empty chunk if the table is empty."""
    import pyarrow as pa

    # One file at a time: reading ahead would hold chunks that nobody has consumed yet.
    reader = table.scanner(batch_size=CHUNK_ROWS, batch_readahead=1, fragment_readahead=1).to_reader()
    empty = True
    while (batch := _checked(lambda: _next(reader))) is not None:
        if batch.num_rows:
            empty = False
            yield _ours(pa.Table.from_batches([batch]), config)
    if empty:
        yield _ours(table.schema.empty_table(), config)


def _next(reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    try:
        return reader.read_next_batch()
    except StopIteration:
        return None


def _checked(read: Callable[[], T]) -> T:
    """``read()``; a DataError if the types of a file change on the way."""
    import pyarrow as pa

    try:
        return read()
    except pa.ArrowInvalid as error:
        raise DataError(f"wrong type: {error}") from None
