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
from .frames import SUFFIXES, to_arrow

if TYPE_CHECKING:
    from .frames import Table

NAMES = ("interactions", "users", "items")
FOLDER = "tables"
"""Below ``runs``."""


def with_tables(config: PipelineConfig, tables: Mapping[str, Table], runs: Path) -> PipelineConfig:
    """``config`` with ``data.source: tables``, reading ``tables`` from a folder below ``runs``."""
    folder = write_tables(tables, runs / FOLDER)
    data = config.data.model_copy(update={"source": "tables", "path": str(folder)})
    return config.model_copy(update={"data": data})


def write_tables(tables: Mapping[str, Table], root: Path) -> Path:
    """Write each table as Parquet; files stay as they are.

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
            _write(table, name, aside)
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


def _write(table: Any, name: str, folder: Path) -> None:
    import pyarrow.parquet

    if isinstance(table, (str, Path)) and Path(table).suffix in SUFFIXES:
        if not Path(table).is_file():
            raise DataError(f"{name}: {table} does not exist")
        shutil.copyfile(table, folder / f"{name}{Path(table).suffix}")
    else:
        columns = to_arrow(table, name).replace_schema_metadata(None)
        try:
            pyarrow.parquet.write_table(columns, folder / f"{name}.parquet")
        except NotImplementedError as error:  # a column of empty dicts
            raise DataError(f"{name}: cannot be kept as Parquet: {error}") from error


def _digest(folder: Path) -> str:
    sha = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        sha.update(file.name.encode())
        with file.open("rb") as stream:
            sha.update(hashlib.file_digest(stream, "sha256").digest())
    return sha.hexdigest()[:12]
