"""One table of the source ``tables``: the same columns and types from all of its part files."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import DataError
from ..config import DataConfig
from ..tables.canonical import IDS, split_text
from ..tables.ids import check_exact
from ..tables.other_types import replacement
from ..tables.rows import Parts, Rows
from ..tables.timestamps import check_steps
from .convert import convert
from .csv_parts import CsvParts
from .files import PartFile, TableFiles
from .json_lists import json_lists
from .parquet_parts import ParquetParts
from .text_types import Role, TextType
from .types import PHRASES, Forced, Read, as_it_is, common_type, decoded, forced_reader_of, forced_type, text_reader_of

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

CHUNK_ROWS = 262_144
JSON = "json"
"""The separator that stands for JSON lists."""


@dataclass(frozen=True)
class Column:
    """How a column is read."""

    name: str
    """By cascade."""
    theirs: str
    """In the files, or the Hive key."""
    kind: pa.DataType
    """In every chunk."""
    read: Read
    """From a file."""
    read_key: Read
    """From a Hive key, as text."""
    problem: str
    """What to say of a value that cannot be read."""


@dataclass(frozen=True)
class SourceTable:
    """A table whose names and types are known."""

    files: TableFiles
    config: DataConfig
    reader: ParquetParts | CsvParts
    having: Mapping[Path, Collection[str]]
    """The columns of each file."""
    columns: Sequence[Column]
    sizes: Mapping[Path, int]
    """The number of rows of each file."""
    lined: Collection[Path]
    """CSV files that are a header and a line for each row."""

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(self.sizes.values())

    @property
    def parts(self) -> Parts:
        """The part files, if there are several."""
        files = [part.file for part in self.files.parts]
        firsts = accumulate((self.sizes[file] for file in files), initial=0)
        return [*zip(firsts, map(self.files.shown, files), strict=False)] if len(files) > 1 else []

    @property
    def lines(self) -> list[bool]:
        """For each part file, whether it is a header and a line for each row."""
        return [part.file in self.lined for part in self.files.parts]

    def chunks(self) -> Iterator[pa.Table]:
        """The chunks in file order; one empty chunk if the table is empty.

        Raises:
            DataError: naming the file, or table, column and row, of what cannot be read.
        """
        for part in self.files.parts:
            for batch, rows in self._batches(part):
                yield self._lists(self._chunk(part, batch, rows), rows)
        if not self.rows:
            yield self._empty()

    def whole(self) -> pa.Table:
        """The table at once."""
        import pyarrow as pa

        chunks = [self._empty()]
        for part in self.files.parts:
            chunks += [self._chunk(part, batch, rows) for batch, rows in self._batches(part)]
        return self._lists(pa.concat_tables(chunks), Rows(0, self.parts, self.lines))

    def _batches(self, part: PartFile) -> Iterator[tuple[pa.RecordBatch, Rows]]:
        """Batches that have rows, and the names of these."""
        having = self.having[part.file]
        names = [column.theirs for column in self.columns if column.theirs in having]
        # Any column tells how many rows there are, where all that is used is a Hive key or missing.
        rows = self.files.rows_of(part.file, lined=part.file in self.lined)
        for batch in self.reader.batches(part.file, names or [*having][:1], CHUNK_ROWS):
            if batch.num_rows:
                yield batch, rows
            rows = rows.after(batch.num_rows)

    def _chunk(self, part: PartFile, batch: pa.RecordBatch, rows: Rows) -> pa.Table:
        import pyarrow as pa

        arrays = {}
        for column in self.columns:
            values, read = _values(column, part, batch)
            where = f"{self.files.name}.{column.name}"
            problem = column.problem
            if column.name in IDS:
                check_exact(decoded(values), where, rows)
                if self.files.format == "csv" and pa.types.is_string(column.kind):
                    _refuse_headers(values, column.theirs, where, rows)
            if where in ("interactions.timestamp", "interactions.order"):
                check_steps(decoded(values), rows, where)
            if pa.types.is_nested(values.type):
                problem += f"; {replacement(values.type, column.name)}"
            arrays[column.name] = convert(values, read, where, rows, problem)
        return pa.table(arrays)

    def _empty(self) -> pa.Table:
        import pyarrow as pa

        return pa.schema([(column.name, column.kind) for column in self.columns]).empty_table()

    def _lists(self, chunk: pa.Table, rows: Rows) -> pa.Table:
        """The chunk with the columns of ``data.separators`` as lists."""
        import pyarrow.types as kinds

        plain = {name: sign for name, sign in self.config.separators.items() if sign != JSON}
        for index, field in enumerate(chunk.schema):
            if self.config.separators.get(field.name) == JSON and kinds.is_string(field.type):
                where, key = f"{self.files.name}.{field.name}", f"data.separators.{field.name}: json"
                lists = json_lists(chunk[field.name].combine_chunks(), where, rows, key)
                chunk = chunk.set_column(index, field.name, lists)
        return split_text(chunk, plain, self.files.name, rows)


def _refuse_headers(values: pa.Array, name: str, where: str, rows: Rows) -> None:
    """Raise a DataError if the header stands among the rows as well, as in files that were joined."""
    import pyarrow.compute as pc

    found = pc.index(values, name).as_py()
    if found >= 0:
        raise DataError(f"{where}, {rows(found)}: {name!r} is the name of the column; take the header out of the rows")


def _values(column: Column, part: PartFile, batch: pa.RecordBatch) -> tuple[pa.Array, Read]:
    """What a part says of a column: that of the file, else its Hive key, else nothing."""
    import pyarrow as pa

    if column.theirs in batch.schema.names:
        return batch[column.theirs], column.read
    if column.theirs in part.keys:
        return pa.repeat(pa.scalar(part.keys[column.theirs], pa.string()), batch.num_rows), column.read_key
    return pa.nulls(batch.num_rows, column.kind), as_it_is


def open_table(
    files: TableFiles,
    config: DataConfig,
    having: Mapping[Path, Collection[str]],
    used: Mapping[str, str],
    categories: Collection[str] = (),
) -> SourceTable:
    """The table with the columns ``used``: cascade's name -> theirs.

    A CSV is read once for this, because the type of a column is that of all its values.

    Args:
        having: the columns of each file.
        categories: columns, by cascade's name, whose values are names.

    Raises:
        DataError: naming two files whose types of a column do not go together, or what cannot be read.
    """
    reader = part_reader(files, config)
    forced: dict[str, Forced] = {}
    for name, theirs in used.items():
        if kind := _forced(name, files, config):
            forced[theirs] = kind
    roles: dict[str, Role] = {t: "id" if n in IDS else "category" for n, t in used.items() if n in (*IDS, *categories)}
    needed = [theirs for name, theirs in used.items() if theirs not in forced or config.types.get(name) == "text"]
    sought = {part.file: [name for name in needed if name in having[part.file]] for part in files.parts}
    scan = reader.scan(sought, roles)
    columns = []
    for name, theirs in used.items():
        if theirs in forced:
            whole = theirs in scan.whole and name in config.types
            columns.append(_forced_column(name, theirs, forced[theirs], config.csv.decimal, whole))
        else:
            found, keys = scan.types.get(theirs, []), _key_type(files, theirs, having, roles.get(theirs, "value"))
            kind = common_type(files.name, name, [*found, *keys])
            if files.format == "csv":
                _notice(files.name, name, kind, scan.changing.get(theirs))
            read = reader.read_as(found[0][0], kind) if found else as_it_is
            read_key = text_reader_of(keys[0][0], kind) if keys else as_it_is
            columns.append(Column(name, theirs, kind, read, read_key, _problem(name, kind)))
    return SourceTable(files, config, reader, having, columns, scan.rows, scan.lined)


def _notice(table: str, name: str, kind: pa.DataType, changing: str | None) -> None:
    """Say that numbers stay text because they would change, or that ids such as 3.0 do change."""
    import pyarrow as pa

    if changing is not None:
        log.warning(
            "%s.%s: numbers such as %s stay text, because they would be written in another way as numbers; "
            "data.types: {%s: text} says that this is meant, {%s: float} reads them as numbers",
            *(table, name, changing, name, name),
        )
    elif name in IDS and pa.types.is_floating(kind):
        log.warning(
            "%s.%s: ids are written like 3.0, as pandas does beside a missing value, and are read as 3; "
            "data.types: {%s: int} says that this is meant",
            *(table, name, name),
        )


def part_reader(files: TableFiles, config: DataConfig) -> ParquetParts | CsvParts:
    """What reads the part files of a table."""
    return ParquetParts() if files.format == "parquet" else CsvParts(files, config.csv)


def _forced(name: str, files: TableFiles, config: DataConfig) -> Forced | None:
    """The type that the config gives a column; lists in a CSV are text before they are split."""
    return config.types.get(name) or ("text" if name in config.separators and files.format == "csv" else None)


def _forced_column(name: str, theirs: str, forced: Forced, decimal: str, whole: bool) -> Column:
    read = forced_reader_of(forced, decimal, whole)
    problem = f"is not {PHRASES[forced]}, which data.types.{name} asks for"
    if forced == "float" and decimal != ".":
        problem += f"; text has the decimal sign {decimal!r} of data.csv.decimal, and no sign of thousands"
    return Column(name, theirs, forced_type(forced), read, read, problem)


def _problem(name: str, kind: pa.DataType) -> str:
    import pyarrow as pa

    way_out = f"set data.types: {{{name}: text}}, or another type"
    if pa.types.is_nested(kind):
        way_out = "write it as one type in all files"
    return f"does not fit {kind}, the type in other files; {way_out}"


def _key_type(
    files: TableFiles, theirs: str, having: Mapping[Path, Collection[str]], role: Role
) -> list[tuple[pa.DataType, Path]]:
    """The type of a Hive key over all files that have no column of its name; empty if there is none."""
    import pyarrow as pa

    parts = [part for part in files.parts if theirs in part.keys and theirs not in having[part.file]]
    found = TextType(role=role)
    found.see(pa.array([part.keys[theirs] for part in parts], pa.string()))
    return [(found.kind, parts[0].file)] if parts else []
