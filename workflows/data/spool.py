"""Interactions on disk, for logs larger than memory: written as they arrive, read back by ranges of users."""

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
"""Most interactions in a part, unless one user has more."""
GROUP_ROWS = 65_536
"""Interactions in a row group, the smallest unit that a reader holds."""


class Spool:
    """A Parquet file that is written chunk by chunk; all chunks must have the schema of the first."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.rows = 0
        self._writer: pq.ParquetWriter | None = None

    @property
    def schema(self) -> pa.Schema:
        """The schema of the first chunk."""
        assert self._writer is not None
        return self._writer.schema

    def write(self, chunk: pa.Table) -> None:
        """Append a chunk.

        Raises:
            DataError: if it lacks a column of the first chunk, or a column has another type.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        writer = self._writer
        if writer is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            writer = self._writer = pq.ParquetWriter(self.file, chunk.schema)
        try:
            writer.write_table(chunk.select(writer.schema.names).cast(writer.schema), GROUP_ROWS)
        except (KeyError, pa.ArrowInvalid) as error:
            raise DataError(f"interactions, rows from {self.rows}: other columns than before: {error}") from None
        self.rows += chunk.num_rows

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def user_ranges(counts: NDArray[np.int64], part_rows: int) -> NDArray[np.int64]:
    """The first user row of each part of consecutive users.

    Args:
        counts: [n_users], rows of each user; those of a part sum to at most ``part_rows``, unless it is one user.
    """
    firsts, filled = [0], 0
    for row, count in enumerate(counts.tolist()):
        if filled and filled + count > part_rows:
            firsts.append(row)
            filled = 0
        filled += count
    return np.asarray(firsts)


def parts_by_user(file: Path, user_ids: pa.Array) -> Iterator[pa.Table]:
    """The rows of ``file`` as tables of whole users, users ascending; the rows of a table are in file order.

    If everything fits into one part, the rows are read once. Otherwise they are divided into files beside ``file``.
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
