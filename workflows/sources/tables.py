"""Source ``tables``: a folder of ``interactions``, ``users`` and ``items``, in Parquet or CSV."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import ConfigError, DataError
from ...core.inputs import Inputs, file_inputs
from ..config import DataConfig
from ..tables.canonical import IDS
from ..tables.validate import nearest
from .files import ENDINGS, TableFiles, find_tables, spare_files
from .mapping import check_columns, left_out, new_names
from .source import Source
from .table import open_table, part_reader

log = logging.getLogger(__name__)

KEYS = {"interactions": IDS, "users": ("user_id",), "items": ("item_id",)}
"""Table -> the columns that each of its files has, if one has."""
Used = Mapping[str, Collection[str]]
"""Table -> the columns, by cascade's name, that somebody reads."""


def open_source(config: DataConfig, used: Used | None = None, categories: Collection[str] = ()) -> Source:
    """The tables in ``data.path``, read as the section ``data`` says.

    Args:
        used: the columns to read; by default all of them.
        categories: columns whose values are names, as those of ids are: text in a CSV that would not be the same after
            it was read as a number stays text.

    Raises:
        ConfigError: if the folder, or a column that the config names, does not exist.
        DataError: if there are no interactions, or a file cannot be read.
    """
    layout = _layout(config)
    _warn_of_unread(config, layout)
    tables = {}
    for name, table in layout.files.items():
        read = {o: t for o, t in layout.ours[name].items() if used is None or o in used[name]}
        tables[name] = open_table(table, config, layout.having[name], read, categories)
    whole = {name: tables[name].whole() for name in ("users", "items") if name in tables}
    parts = {name: table.parts for name, table in tables.items()}
    lines = {name: table.lines for name, table in tables.items()}
    log_ = tables["interactions"]
    return Source(log_.chunks, log_.rows, **whole, columns=layout.columns, parts=parts, lines=lines)


def table_columns(config: DataConfig) -> Mapping[str, tuple[str, ...]]:
    """The columns of each table, by cascade's name; no row is read.

    Raises:
        ConfigError: as `open_source`.
        DataError: as `open_source`.
    """
    return _layout(config).columns


@dataclass(frozen=True)
class _Layout:
    """What the names of files and columns tell of the tables."""

    files: Mapping[str, TableFiles]
    having: Mapping[str, Mapping[Path, list[str]]]
    """Table -> file -> its columns."""
    ours: Mapping[str, Mapping[str, str]]
    """Table -> cascade's name of a column -> theirs."""

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """The columns of each table, by cascade's name."""
        return {name: tuple(names) for name, names in self.ours.items()}


def _layout(config: DataConfig) -> _Layout:
    if config.path is None:
        raise ConfigError("data.path: source tables needs a folder that holds interactions.parquet or interactions.csv")
    folder = Path(config.path).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"data.path: {folder} is not a folder")
    files = find_tables(folder)
    if "interactions" not in files:
        endings = ", ".join(ENDINGS)
        raise DataError(
            f"{folder}: no interactions.parquet and no interactions.csv (the endings are {endings}), and no folder "
            "interactions/ of such files"
        )
    having = {name: _headers(table, config) for name, table in files.items()}
    found = {name: _names(table, having[name]) for name, table in files.items()}
    check_columns(config.columns, found)
    ours = {name: new_names(config.columns, name, columns) for name, columns in found.items()}
    for name, table in files.items():
        _check_parts(table, having[name], [theirs for key, theirs in ours[name].items() if key in KEYS[name]])
    _check_named(config, ours)
    return _Layout(files, having, ours)


def _warn_of_unread(config: DataConfig, layout: _Layout) -> None:
    """Log the folders that hold no table, and the files and columns whose name another one has."""
    folder = Path(config.path or "").expanduser()
    for name in KEYS:
        if name not in layout.files and (folder / name).is_dir():
            log.warning("%s/: not read, it holds no file that ends in %s", name, ", ".join(ENDINGS))
    for name, spare in spare_files(folder).items():
        log.warning("%s: not read, %s is there", ", ".join(spare), layout.files[name].path.name)
    for name, ours in layout.ours.items():
        for column in left_out(ours, _names(layout.files[name], layout.having[name])):
            theirs = ours[column]
            log.warning("%s.%s: is left out, data.columns.%s takes %s in its place", name, column, name, theirs)


def table_inputs(config: DataConfig) -> Inputs:
    """The files of the tables; none if there is no folder, which `open_source` refuses."""
    folder = None if config.path is None else Path(config.path).expanduser()
    if folder is None or not folder.is_dir():
        return {}
    return file_inputs([part.file for table in find_tables(folder).values() for part in table.parts], folder)


def _headers(table: TableFiles, config: DataConfig) -> dict[Path, list[str]]:
    """The columns of each file."""
    reader = part_reader(table, config)
    return {part.file: reader.names(part.file) for part in table.parts}


def _names(table: TableFiles, having: Mapping[Path, Collection[str]]) -> list[str]:
    """The columns of all files, and the Hive keys."""
    return list(dict.fromkeys([*(name for names in having.values() for name in names), *table.keys]))


def _check_parts(table: TableFiles, having: Mapping[Path, Collection[str]], keys: Collection[str]) -> None:
    """Check that each file has the columns ``keys``, or is in a folder that says them; a CSV may have no header."""
    for part in table.parts:
        names = having[part.file]
        lacking = next((key for key in keys if key not in names and key not in part.keys), None)
        if lacking is not None:
            other = next(each for each in table.parts if lacking in having[each.file] or lacking in each.keys)
            header = "; if these are values, write the header, which is missing, as the first line of the file"
            raise DataError(
                f"{part.file}: has no column {lacking!r}, which {table.shown(other.file)} has; its columns are "
                f"{', '.join(names)[:80]}{header if table.format == 'csv' else ''}"
            )


def _check_named(config: DataConfig, ours: Mapping[str, Collection[str]]) -> None:
    """Check that each column of ``data.types`` and ``data.separators`` is in one of the tables."""
    known = [name for names in ours.values() for name in names]
    for key, names in (("separators", config.separators), ("types", config.types)):
        for name in names:
            if name not in known:
                raise ConfigError(f"data.{key}.{name}: no table has such a column{nearest(name, known)}")
