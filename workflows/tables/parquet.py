"""Parquet files of the data artifact, read in parts: row groups, or whole users."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


def whole_users(file: Path, rows: int) -> Iterator[pa.Table]:
    """The rows of ``file`` as tables of about ``rows`` rows; a user's rows are never divided between two tables."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rest: pa.Table | None = None
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(rows):
            table = pa.Table.from_batches([batch])
            table = table if rest is None else pa.concat_tables([rest, table])
            last = table["user_id"][-1]
            user = table["user_id"].combine_chunks()
            cut = int(pa.compute.index(user, last).as_py())
            if cut:
                yield table.slice(0, cut)
            rest = table.slice(cut)
    if rest is not None and rest.num_rows:
        yield rest
