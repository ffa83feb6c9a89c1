"""Part files in CSV: every column as text, an empty field as a missing value, block by block."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ...core.errors import DataError
from ..config import CsvConfig
from ..tables.rows import Rows
from .convert import convert
from .csv_stream import CsvStream
from .file_kinds import check_kind
from .files import TableFiles
from .scan import Scan, refuse_twins
from .text_types import Role, TextType
from .types import Read, text_reader_of

if TYPE_CHECKING:
    import _csv

    import pyarrow as pa

CHUNK_ROWS = 262_144
BLOCK = 8 << 20
"""Bytes read at once; also the longest row."""
BEFORE = re.compile('\ufeff*("?sep=(?P<sign>[^\r\n"])"?(\r\n|\r|\n))?', re.IGNORECASE)
"""What stands before a header: byte order marks, and the line in which Excel says the delimiter."""
HEAD = 1 << 12
"""Bytes that say an encoding."""
WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
LONGEST = 1 << 30
"""Characters of the longest field in a file that is searched for an error."""


class CsvParts:
    """Reads the columns of CSV files, which may be compressed (.gz, .bz2, .zst)."""

    def __init__(self, files: TableFiles, config: CsvConfig) -> None:
        self.files = files
        self.config = config
        self._before: dict[Path, re.Match[str]] = {}
        """What stands before the header, see `BEFORE`."""
        self._closed: set[Path] = set()
        """Files whose quotes have been checked."""
        self._lines: dict[Path, int] = {}
        """The number of lines of the files that have been read."""

    def names(self, file: Path) -> list[str]:
        """The header of a file."""
        check_kind(file, self.config.encoding)
        with self._named(file), closing(self._text(file)) as text:
            names = next((row for row in self._rows(file, text) if row), [""])
        if names == [""]:
            raise DataError(f"{file}: is empty, expected a header with the names of the columns")
        if any("\0" in name for name in names):
            raise DataError(
                f"{file}: the header holds the character NUL, so it is not {self.config.encoding}; "
                f"set data.csv.encoding: {self._wide(file)}"
            )
        other = next((sign for sign in ";\t|," if sign in names[0]), None)
        if len(names) == 1 and other is not None:
            raise DataError(
                f"{file}: the header is a single column {names[0]!r}; if {other!r} separates the columns, set "
                f"data.csv.delimiter: {other!r}"
            )
        return names

    def scan(self, files: Mapping[Path, Sequence[str]], roles: Mapping[str, Role]) -> Scan:
        """The types of columns (file -> names), from all of their values and what they are for."""
        found: dict[str, tuple[TextType, Path]] = {}
        rows: dict[Path, int] = {}
        for file, names in files.items():
            for name in names:
                found.setdefault(name, (TextType(self.config.decimal, roles.get(name, "value")), file))
            rows[file] = 0
            for batch in self.batches(file, names or self.names(file)[:1]):
                rows[file] += batch.num_rows
                for name in names:
                    found[name][0].see(batch[name])
        types = {name: [(kind.kind, file)] for name, (kind, file) in found.items()}
        whole = [name for name, (kind, _) in found.items() if kind.whole]
        changing = {name: kind.changing for name, (kind, _) in found.items() if kind.changing is not None}
        lined = [file for file, count in rows.items() if self._lines[file] == count + 1]
        return Scan(types, rows, lined, whole, changing)

    def read_as(self, found: pa.DataType, kind: pa.DataType) -> Read:
        """Reads a column of text, all of which is of the type ``found``, as ``kind``."""
        return text_reader_of(found, kind, self.config.decimal)

    def batches(self, file: Path, names: Sequence[str], rows: int = CHUNK_ROWS) -> Iterator[pa.RecordBatch]:
        """The columns ``names`` of a file as text, at most ``rows`` rows at a time."""
        import pyarrow as pa

        header, named = self.names(file), self.files.rows_of(file)
        refuse_twins(file, names, header)
        for block in self._blocks(file, header, names):
            for first in range(0, block.num_rows, rows):
                batch = block.slice(first, rows)
                columns = [self._decoded(batch[name], name, named) for name in names]
                yield pa.RecordBatch.from_arrays(columns, names=list(names))
                named = named.after(batch.num_rows)

    def _blocks(self, file: Path, header: list[str], names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.csv as pa_csv

        with self._named(file), pa.input_stream(str(file), compression="detect") as stream:
            passed = CsvStream(stream, self._dialect(file), self._head(file)[0])
            try:
                yield from pa_csv.open_csv(passed, **self._options(file, header, names))
            except pa.ArrowInvalid as error:
                self._explain(file, len(header), str(error))
            self._lines[file] = passed.lines + self._lines_before(file)
            if (passed.quotes % 2 or passed.stray) and file not in self._closed:
                self._check_quotes(file)
                self._closed.add(file)

    def _options(self, file: Path, header: list[str], names: Sequence[str]) -> dict[str, object]:
        import pyarrow as pa
        import pyarrow.csv as pa_csv

        quote = self.config.quote
        parse = pa_csv.ParseOptions(
            delimiter=self._dialect(file).delimiter,
            quote_char=quote or False,
            escape_char=self.config.escape or False,
            newlines_in_values=bool(quote),
        )
        read = pa_csv.ReadOptions(block_size=BLOCK)
        # Bytes, so that a value that is no UTF-8 is found where it is.
        types = {name: pa.binary() for name in header}
        convert_ = pa_csv.ConvertOptions(
            column_types=types, include_columns=list(names), strings_can_be_null=True, null_values=[""]
        )
        return {"read_options": read, "parse_options": parse, "convert_options": convert_}

    def _decoded(self, values: pa.Array, name: str, rows: Rows) -> pa.Array:
        import pyarrow as pa

        problem = f"is not {self.config.encoding}; set data.csv.encoding to that of the file, e.g. latin-1"
        return convert(values, lambda raw: raw.cast(pa.string()), f"{self.files.name}.{name}", rows, problem)

    def _explain(self, file: Path, width: int, error: str) -> NoReturn:
        """Raise an error that names the first row of another width, if that is what is wrong."""
        sign = self._dialect(file).delimiter
        with closing(self._text(file)) as text:
            rows, number, line = self._rows(file, text), -1, self._lines_before(file)
            for row in rows:
                if number >= 0 and row and len(row) != width:
                    raise DataError(
                        f"{file}, row {number} (line {line + 1}): {len(row)} fields, the header has {width}: "
                        f"{sign.join(row)[:80]!r}; put text that holds the delimiter in quotes, or "
                        "set data.csv.delimiter, data.csv.quote or data.csv.escape"
                    )
                number, line = number + bool(row), rows.line_num + self._lines_before(file)
        raise DataError(
            f"{file}: cannot be read as CSV: {error}; if a quote is never closed, set data.csv.quote to another sign, "
            "or to null"
        )

    def _check_quotes(self, file: Path) -> None:
        """Refuse a quote inside a quoted field, and one that is never closed: all that follows would be one field."""
        row, line = -1, self._lines_before(file)
        with closing(self._text(file)) as text:
            rows = self._rows(file, text, strict=True)
            try:
                for found in rows:
                    row, line = row + bool(found), rows.line_num + self._lines_before(file)
            except csv.Error as error:
                where = f"{file}, row {row} (line {line + 1})"
                if "unexpected end" in str(error):
                    raise DataError(
                        f"{where}: a quote is never closed; close it, or set data.csv.quote to another sign, or to "
                        "null, or data.csv.escape: '\\' if that stands before quotes"
                    ) from None
                raise DataError(
                    f"{where}: a quote inside a quoted field; double it, or say what stands before it: "
                    "data.csv.escape: '\\'"
                ) from None

    def _head(self, file: Path) -> re.Match[str]:
        """What stands before the header."""
        if file not in self._before:
            with closing(self._text(file)) as text:
                found = BEFORE.match(text.read(HEAD))
            assert found is not None  # nothing matches as well
            self._before[file] = found
        return self._before[file]

    def _lines_before(self, file: Path) -> int:
        """The number of lines before the header."""
        return int(self._head(file)["sign"] is not None)

    def _dialect(self, file: Path) -> CsvConfig:
        """How a file is read: with the delimiter that its first line says, if it does."""
        sign = self._head(file)["sign"]
        return self.config if sign is None else self.config.model_copy(update={"delimiter": sign})

    def _rows(self, file: Path, text: io.TextIOBase, *, strict: bool = False) -> _csv.Reader:
        quote = self.config.quote
        csv.field_size_limit(LONGEST)
        text.read(len(self._head(file)[0]))
        return csv.reader(
            text,
            delimiter=self._dialect(file).delimiter,
            quotechar=quote,
            escapechar=self.config.escape,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            strict=strict,
        )

    def _wide(self, file: Path) -> str:
        import pyarrow as pa

        with pa.input_stream(str(file), compression="detect") as stream:
            return _wide(stream.read(HEAD), self.config.delimiter)

    def _text(self, file: Path) -> io.TextIOWrapper:
        import pyarrow as pa

        stream = pa.input_stream(str(file), compression="detect")
        return io.TextIOWrapper(stream, self.config.encoding, errors="backslashreplace", newline="")

    @contextmanager
    def _named(self, file: Path) -> Iterator[None]:
        """Errors of a damaged or wrongly encoded file name it."""
        import pyarrow as pa

        try:
            yield
        except UnicodeError as error:
            raise DataError(f"{file}: is not {self.config.encoding} ({error}); set data.csv.encoding") from None
        except OSError as error:
            damaged = "is damaged, or was not copied as a whole" if file.suffix != ".csv" else "cannot be read"
            raise DataError(f"{file}: {damaged} ({error})") from None
        except (pa.ArrowException, csv.Error) as error:
            raise DataError(f"{file}: cannot be read as CSV: {error}; is it in another data.csv.encoding?") from None


def _wide(head: bytes, delimiter: str) -> str:
    """The encoding, of two or four bytes a character, of a file that begins with ``head``."""
    marks = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    marked = next((encoding for mark, encoding in marks.items() if head.startswith(mark)), None)
    texts = {encoding: head.decode(encoding, "replace") for encoding in WIDE}
    return marked or max(WIDE, key=lambda encoding: texts[encoding].count("\n") + texts[encoding].count(delimiter))
