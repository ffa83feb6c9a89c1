"""Part files in Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import DataError
from .file_kinds import check_kind
from .scan import Scan, refuse_twins
from .text_types import Role
from .types import Read, reader_of

if TYPE_CHECKING:
    import pyarrow as pa


class ParquetParts:
    """Reads the columns of Parquet files, a batch at a time."""

    def names(self, file: Path) -> list[str]:
        """The columns of a file."""
        return list(self._schema(file).names)

    def scan(self, files: Mapping[Path, Sequence[str]], roles: Mapping[str, Role]) -> Scan:
        """The types of columns (file -> names), from the files' footers; what they are for does not matter here."""
        import pyarrow.parquet as pq

        types: dict[str, list[tuple[pa.DataType, Path]]] = {}
        rows: dict[Path, int] = {}
        for file, names in files.items():
            schema = self._schema(file)
            refuse_twins(file, names, schema.names)
            for name in names:
                types.setdefault(name, []).append((schema.field(name).type, file))
            with _named(file):
                rows[file] = pq.read_metadata(file).num_rows
        return Scan(types, rows)

    def read_as(self, found: pa.DataType, kind: pa.DataType) -> Read:
        """Reads a column as ``kind``."""
        return reader_of(kind)

    def batches(self, file: Path, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """The columns ``names`` of a file, at most ``rows`` rows at a time."""
        import pyarrow.parquet as pq

        with _named(file), pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(rows, columns=list(names)):
                yield batch.select(list(names))

    def _schema(self, file: Path) -> pa.Schema:
        import pyarrow.parquet as pq

        check_kind(file)
        with _named(file):
            return pq.read_schema(file)


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Errors of a damaged file name it."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: cannot be read as Parquet: {error}") from None
