"""A file of outcome events, read in batches and checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import DataError
from .event_columns import COLUMNS, checked

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 200_000
"""Rows that are in memory at a time."""
KINDS = (".parquet", ".csv", ".jsonl")
IDS = {"user_id", "event_id"}


def read_events(file: Path) -> Iterator[tuple[pa.Table, float]]:
    """The events of a file in batches, with the columns of `event_columns.checked`, and how much of the file is read.

    Columns ``user_id``, ``time`` and ``event`` are needed; ``value`` and ``event_id`` are optional; others are left
    out.

    Args:
        file: ``.parquet``, ``.csv`` with a header, or ``.jsonl`` with one object a line.

    Raises:
        DataError: naming file, field and row: there is no such file or column, or a value is none.
    """
    if file.suffix not in KINDS:
        raise DataError(f"{file}: expected a file that ends in {', '.join(KINDS)}; convert it")
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    reader = {".parquet": _parquet, ".csv": _csv, ".jsonl": _json_lines}[file.suffix]
    rows = 0
    for raw, share in reader(file):
        yield checked(raw, file, rows), share
        rows += len(raw)
    if not rows:
        raise DataError(f"{file}: expected at least one event, got none")


def _parquet(file: Path) -> Iterator[tuple[pa.Table, float]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        source = pq.ParquetFile(file)
        total, rows = max(source.metadata.num_rows, 1), 0
        for batch in source.iter_batches(BATCH_ROWS, columns=_present(file, source.schema_arrow.names)):
            rows += len(batch)
            yield pa.table(batch), rows / total
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file}: expected a whole Parquet file, got one that cannot be read ({error})") from error


def _csv(file: Path) -> Iterator[tuple[pa.Table, float]]:
    import pyarrow as pa
    import pyarrow.csv

    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            names = [name.strip().strip('"') for name in text.readline().rstrip("\r\n").split(",")]
        options = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(COLUMNS, pa.string()),
            include_columns=_present(file, names),
            null_values=[""],
            strings_can_be_null=True,
        )
        size = max(file.stat().st_size, 1)
        blocks = pyarrow.csv.ReadOptions(block_size=1 << 24)
        # Not a file of Python's: a thread of Arrow's that still read it at the end would abort the process.
        with pa.OSFile(str(file)) as stream, pyarrow.csv.open_csv(stream, blocks, convert_options=options) as reader:
            for batch in reader:
                yield pa.table(batch), min(stream.tell() / size, 1.0)
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: expected CSV in UTF-8 with commas and a header ({error})") from error


def _json_lines(file: Path) -> Iterator[tuple[pa.Table, float]]:
    import json

    size, read, rows = max(file.stat().st_size, 1), 0, list[dict[str, Any]]()
    with file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            read += len(line)
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{file}, line {number}: expected an object of JSON ({error})") from error
            if not isinstance(row, dict):
                raise DataError(f"{file}, line {number}: expected an object of JSON, got {line[:40]!r}")
            rows.append(row)
            if len(rows) == BATCH_ROWS:
                yield _as_table(rows, file), read / size
                rows = []
    yield from [(_as_table(rows, file), 1.0)] if rows else []


def _as_table(rows: list[dict[str, Any]], file: Path) -> pa.Table:
    import pyarrow as pa

    names = _present(file, {name for row in rows for name in row})
    for name in IDS & {*names}:
        for row in rows:
            value = row.get(name)
            if isinstance(value, bool) or not isinstance(value, int | str | None):
                raise DataError(
                    f"{file}, {name}: expected integers or text, got {value!r}; write ids as the requests have them"
                )
    try:
        return pa.table({name: [_text(row.get(name)) for row in rows] for name in names})
    except UnicodeEncodeError as error:
        raise DataError(
            f"{file}: expected text of whole characters, got {error.object!r}; write it as UTF-8"
        ) from error


def _text(value: Any) -> str | None:
    """A JSON value as the text that a CSV would have; true, false, lists and objects are seen to be none."""
    import json

    return value if value is None or isinstance(value, str) else json.dumps(value)


def _present(file: Path, names: Collection[str]) -> list[str]:
    """Those of our columns that a file has.

    Raises:
        DataError: it lacks one that is needed, or has one twice.
    """
    for name in COLUMNS:
        if list(names).count(name) > 1:
            raise DataError(f"{file}: expected the column {name} once, got it {list(names).count(name)} times")
    for name in COLUMNS[:3]:
        if name not in names:
            raise DataError(f"{file}: expected the column {name}, got {', '.join(sorted(names))}")
    return [name for name in COLUMNS if name in names]
