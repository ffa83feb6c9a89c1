"""Parquet files of the data artifact, read in parts: row groups, batches, or whole users."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class RowGroup:
    """A row group of a Parquet file: what one task reads."""

    file: Path
    index: int
    rows: int

    def read(self, columns: Sequence[str]) -> pa.Table:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.file) as parquet:
            return parquet.read_row_group(self.index, columns=list(columns))


def row_groups(path: Path) -> list[RowGroup]:
    """All row groups of a file, or of a folder's files in the order of their names."""
    import pyarrow.parquet as pq

    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    found = [(file, pq.read_metadata(file)) for file in files]
    return [RowGroup(f, i, meta.row_group(i).num_rows) for f, meta in found for i in range(meta.num_row_groups)]


def batches(file: Path, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The rows of ``file`` in order, as tables of at most ``rows`` rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(rows, columns=None if columns is None else list(columns)):
            yield pa.Table.from_batches([batch])


def whole_users(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows of ``tables``, none of them empty, cut so that a user's rows are never divided between two tables.

    Each user's rows must follow one another. A table grows beyond its size where one user has more rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    rest: pa.Table | None = None
    for part in tables:
        table = part if rest is None else pa.concat_tables([rest, part]).combine_chunks()
        user = table["user_id"].combine_chunks()
        cut = int(pc.index(user, table["user_id"][-1]).as_py())
        if cut:
            yield table.slice(0, cut)
        rest = table.slice(cut)
    if rest is not None:
        yield rest
