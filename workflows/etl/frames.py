"""The data artifact's tables as frames: pandas or cuDF, with the same types in every partition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .features import RawFeature

if TYPE_CHECKING:
    import pyarrow as pa


def to_frame(table: pa.Table, features: Sequence[RawFeature], device: str) -> Any:
    """The raw columns of ``features`` as a frame.

    Whole numbers stay whole where some are missing (pandas ``Int64``), so a partition's types do not depend on what
    happens to be missing in it; continuous columns are float64.
    """
    import pyarrow as pa

    dense = {name for f in features if f.role == "continuous" for name in f.raw}
    names = list(dict.fromkeys(name for f in features for name in f.raw))
    columns = {n: table[n].cast(pa.float64(), safe=False) if n in dense else table[n] for n in names}
    selected = pa.table(columns)
    if device == "gpu":
        from merlin.core.dispatch import get_lib

        return get_lib().DataFrame.from_arrow(selected)
    import pandas as pd

    return selected.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)


def to_array(column: Any) -> NDArray[Any]:
    """A transformed column [n, length or 1] on the host."""
    from merlin.core import dispatch

    n = len(column)
    if dispatch.is_list_dtype(column):
        column = dispatch.pull_apart_list(column)[0]
    host = column if dispatch.is_cpu_object(column) else column.to_pandas()
    return np.asarray(host.to_numpy()).reshape(n, -1)


@dataclass(frozen=True)
class Piece:
    """A row group of a Parquet file: what one task reads."""

    file: Path
    group: int
    rows: int

    def read(self, columns: Sequence[str]) -> pa.Table:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.file) as parquet:
            return parquet.read_row_group(self.group, columns=list(columns))


def pieces(path: Path) -> list[Piece]:
    """All row groups of a file, or of a folder's files in order of their names."""
    import pyarrow.parquet as pq

    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    found = [(file, pq.read_metadata(file)) for file in files]
    return [Piece(f, g, meta.row_group(g).num_rows) for f, meta in found for g in range(meta.num_row_groups)]


def whole_users(file: Path, rows: int) -> Iterator[pa.Table]:
    """The file's rows as tables of whole users, about ``rows`` rows each, more where one user has more."""
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
