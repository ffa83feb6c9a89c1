"""The files of a table: one file, or a folder of part files, perhaps in Hive partitions such as ``day=2024-01-02``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from ...core.errors import DataError
from ..tables.rows import Rows

NAMES = ("interactions", "users", "items")
ENDINGS = (".parquet", ".csv", ".csv.gz", ".csv.bz2", ".csv.zst")
"""In this order: the first that is there is read."""
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
"""What Hive writes for a missing key."""
BITS = re.compile("[0-9]+|[^0-9]")
"""The numbers in a name, and the characters between them."""


@dataclass(frozen=True)
class PartFile:
    """A file of a table."""

    file: Path
    keys: Mapping[str, str | None]
    """The Hive keys in its path, as text; None is a missing value."""


@dataclass(frozen=True)
class TableFiles:
    """Where a table lies."""

    name: str
    """``interactions``, ``users`` or ``items``."""
    path: Path
    """The file, or the folder of parts."""
    parts: tuple[PartFile, ...]
    """In the order of their paths, with numbers in these as numbers, which is the order of the rows."""

    @property
    def format(self) -> Literal["parquet", "csv"]:
        named = self.path if _ending(self.path) else self.parts[0].file
        return "parquet" if named.suffix == ".parquet" else "csv"

    @property
    def keys(self) -> list[str]:
        """The names of the Hive keys."""
        return list(dict.fromkeys(key for part in self.parts for key in part.keys))

    def shown(self, file: Path) -> str:
        """What messages call a part file."""
        return file.relative_to(self.path).as_posix()

    def rows_of(self, file: Path, *, lined: bool = False) -> Rows:
        """Names the rows of one of the files.

        Args:
            lined: whether it is a header and a line for each row.
        """
        parts = ((0, self.shown(file)),) if len(self.parts) > 1 else ()
        return Rows(0, parts, (lined,))


def find_tables(folder: Path) -> dict[str, TableFiles]:
    """The tables in a folder, by name.

    Raises:
        DataError: if the folder of a table holds no file, or files of two kinds, or is one of two.
    """
    paths = {name: path for name in NAMES if (path := _path(folder, name))}
    return {name: TableFiles(name, path, _parts(path)) for name, path in paths.items()}


def table_at(name: str, path: Path) -> TableFiles:
    """The table ``name`` in a file or folder of any name.

    Raises:
        DataError: it is not there, its ending is none of ENDINGS, or the folder holds no file, or files of two kinds.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file")
    if path.is_file() and not _ending(path):
        raise DataError(f"{path}: expected a file that ends in {', '.join(ENDINGS)}, or a folder of such files")
    return TableFiles(name, path, _parts(path))


def spare_files(folder: Path) -> dict[str, list[str]]:
    """The names of the files of each table that are not read, because another one is: table -> names."""
    found = {name: [f"{name}{end}" for end in ENDINGS if (folder / f"{name}{end}").exists()] for name in NAMES}
    return {name: files[1:] for name, files in found.items() if files[1:]}


def _path(folder: Path, name: str) -> Path | None:
    """Where a table lies, or None."""
    named = next((path for end in ENDINGS if (path := folder / f"{name}{end}").exists()), None)
    plain = folder / name
    first = {_ending(file): file for file in reversed(_below(plain))}
    if not any(first):
        return named
    if named is not None:
        raise DataError(f"{folder}: both {name}/ and {named.name} are there; take one of them out, or rename it")
    if len({end[:4] for end in first}) > 1:  # of ".csv.gz", ".csv" is the kind
        raise DataError(
            f"{plain}: holds {' and '.join(sorted(map(str, first.values())))}; expected part files of one kind, "
            ".parquet or .csv: take the others out, or begin their names with an underscore"
        )
    return plain


def _ending(path: Path) -> str:
    """The one of ENDINGS that a path has; empty if none."""
    return next((end for end in ENDINGS if path.name.endswith(end)), "")


def _below(path: Path) -> list[Path]:
    """The files below a folder, relative to it, in their order; those that begin with a dot or an underscore are notes
    of whatever wrote the table."""
    below = sorted((file.relative_to(path) for file in path.rglob("*") if file.is_file()), key=_natural)
    return [file for file in below if not any(part[0] in "._" for part in file.parts)]


def _parts(path: Path) -> tuple[PartFile, ...]:
    """The files of a table."""
    if not path.is_dir():
        return (PartFile(path, {}),)
    shown = _below(path)
    if not shown:
        raise DataError(f"{path}: the folder holds no file of the table")
    kind = _ending(path)[:4]  # of ".csv.gz", ".csv" is the kind
    other = next((file for file in shown if kind and _ending(file) and _ending(file)[:4] != kind), None)
    if other is not None:
        name, wanted = path.name.partition(".")[0], ".parquet" if kind == ".csv" else ".csv"
        raise DataError(
            f"{path}: holds {other}; name the folder {name}{wanted}, or {name}, if all its files are {wanted}"
        )
    return tuple(PartFile(path / file, dict(_key(part) for part in file.parts[:-1] if "=" in part)) for file in shown)


def _natural(file: Path) -> list[tuple[list[tuple[str, int]], str]]:
    """Sorts as text, but numbers as numbers: part-2 before part-10, and day=9 before day=10."""
    return [([_bit(bit) for bit in BITS.findall(name)], name) for name in file.parts]


def _bit(bit: str) -> tuple[str, int]:
    return ("0", int(bit)) if bit.isascii() and bit.isdigit() else (bit, 0)


def _key(folder: str) -> tuple[str, str | None]:
    name, _, value = folder.partition("=")
    return unquote(name), None if value == HIVE_NULL else unquote(value)
