"""Interactions on disk, out of core: written as they come, read back by ranges of users."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from ..tables.ids import rows_of
from ..tables.parquet import batches

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

PART_ROWS = 1_000_000
"""Interactions in a part; a user with more of them has a part of their own."""
GROUP_ROWS = 65_536
"""Interactions in a row group: the least that a reader has to hold."""


class Spool:
    """A Parquet file being written chunk by chunk; all chunks have the first one's schema."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.rows = 0
        self._writer: pq.ParquetWriter | None = None

    @property
    def schema(self) -> pa.Schema:
        """That of the first chunk."""
        assert self._writer is not None
        return self._writer.schema

    def write(self, chunk: pa.Table) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._writer is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self.file, chunk.schema)
        try:
            self._writer.write_table(chunk.select(self._writer.schema.names).cast(self._writer.schema), GROUP_ROWS)
        except (KeyError, pa.ArrowInvalid) as error:
            raise DataError(f"interactions, rows from {self.rows}: other columns than before: {error}") from None
        self.rows += chunk.num_rows

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def user_ranges(counts: NDArray[np.int64], part_rows: int) -> NDArray[np.int64]:
    """First user_row of each part: contiguous users whose ``counts`` [n_users] sum to at most ``part_rows``."""
    firsts, filled = [0], 0
    for row, count in enumerate(counts.tolist()):
        if filled and filled + count > part_rows:
            firsts.append(row)
            filled = 0
        filled += count
    return np.asarray(firsts)


def parts_by_user(file: Path, user_ids: pa.Array) -> Iterator[pa.Table]:
    """The file's rows as tables of whole users, users ascending, rows of a part in file order.

    Reads the file once where it fits into one part; else twice, and spills the parts beside it.
    """
    import pyarrow.parquet as pq

    counts = np.zeros(len(user_ids), np.int64)
    for batch in batches(file, GROUP_ROWS, ["user_id"]):
        counts += np.bincount(rows_of(batch["user_id"], user_ids), minlength=len(user_ids))
    firsts = user_ranges(counts, PART_ROWS)
    if len(firsts) == 1:
        yield pq.read_table(file)
        return
    folder = file.with_suffix(".parts")
    _spill(file, user_ids, firsts, folder)
    for part in sorted(folder.iterdir()):
        yield pq.read_table(part)
        part.unlink()
    shutil.rmtree(folder)


def _spill(file: Path, user_ids: pa.Array, firsts: NDArray[np.int64], folder: Path) -> None:
    spools = [Spool(folder / f"{number:05d}.parquet") for number in range(len(firsts))]
    for batch in batches(file, GROUP_ROWS):
        part = np.searchsorted(firsts, rows_of(batch["user_id"], user_ids), side="right") - 1
        for number in np.unique(part):
            spools[number].write(batch.filter(part == number))
    for spool in spools:
        spool.close()
