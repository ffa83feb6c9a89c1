"""Apply the fitted workflows and write what the models load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from ..core.features import Feature
from .fit import FittedSide
from .frames import pieces, to_array, to_frame, whole_users
from .history import known_histories
from .split import NAMES, TEST
from .spool import GROUP_ROWS, rows_of
from .tensors import LABEL
from .train_part import context_columns, id_columns

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


def dtype_of(feature: Feature) -> str:
    """Type on disk: half of what the models take, for codes."""
    return "int32" if feature.kind == "categorical" else "float32"


def transform(side: FittedSide, table: pa.Table) -> dict[str, NDArray[Any]]:
    """Raw columns of one side to features [n, length or 1], by NVTabular."""
    frame = side.workflow.transform(to_frame(table, side.raw, side.device))
    return {f.name: to_array(frame[f.name]).astype(dtype_of(f), copy=False) for f in side.features}


def write_entities(folder: Path, side: FittedSide, source: Path, n: int) -> None:
    """One array file [n, length or 1] per feature of users or items, a row group at a time."""
    folder.mkdir()
    arrays = {
        f.name: open_memmap(folder / f"{f.name}.npy", "w+", dtype_of(f), (n, *f.dims))  # type: ignore[no-untyped-call]
        for f in side.features
    }
    first = 0
    columns = sorted({name for feature in side.raw for name in feature.raw})
    for piece in pieces(source):
        for name, values in transform(side, piece.read(columns)).items():
            arrays[name][first : first + piece.rows] = values
        first += piece.rows
    for array in arrays.values():
        array.flush()


@dataclass(frozen=True)
class InteractionWriter:
    """Turns a part of the data artifact's interactions into train, valid and test parts."""

    data: Path
    folder: Path
    """The etl artifact being written; holds items/item_id.npy already."""
    context: FittedSide | None
    history: int
    """How many item codes a history holds."""
    rows: int
    """Interactions held at once."""
    labels: tuple[str, ...] = ()
    """``data.labels``."""

    def write(self, part: Path) -> None:
        """Write ``interactions/<split>/<part>`` for the splits that occur in it."""
        writers: dict[str, pq.ParquetWriter] = {}
        try:
            for table in whole_users(part, self.rows):
                rows = self._transformed(table)
                for name in NAMES:
                    self._append(rows, table["split"], name, part.name, writers)
        finally:
            for writer in writers.values():
                writer.close()

    def _append(
        self, rows: pa.Table, split: pa.ChunkedArray, name: str, part: str, writers: dict[str, pq.ParquetWriter]
    ) -> None:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        own = rows.filter(pc.equal(split, name))
        if own.num_rows == 0:
            return
        if name not in writers:
            file = self.folder / "interactions" / name / part
            file.parent.mkdir(parents=True, exist_ok=True)
            writers[name] = pq.ParquetWriter(file, own.schema)
        writers[name].write_table(own, GROUP_ROWS)

    def _transformed(self, table: pa.Table) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        user_ids, item_ids = id_columns(self.data)
        user_row, item_row = rows_of(table["user_id"], user_ids), rows_of(table["item_id"], item_ids)
        positive = table["positive"].to_numpy()
        codes = np.load(self.folder / "items" / "item_id.npy", mmap_mode="r")[:, 0]
        test = pc.equal(table["split"], NAMES[TEST]).to_numpy()
        label = table["label"].to_numpy() if "label" in table.column_names else positive
        columns = {
            "user_row": pa.array(user_row),
            "item_row": pa.array(item_row),
            "timestamp": table["timestamp"],
            "positive": table["positive"],
            "label": pa.array(label.astype(np.float32)),
            **{f"{LABEL}{name}": table[name].cast(pa.float32()) for name in self.labels},
            **self._context(table),
            "history": pa.FixedSizeListArray.from_arrays(
                pa.array(known_histories(user_row, positive, codes[item_row], test, self.history).ravel()), self.history
            ),
        }
        return pa.table(columns)

    def _context(self, table: pa.Table) -> Mapping[str, pa.Array]:
        import pyarrow as pa

        if self.context is None:
            return {}
        names = {name for feature in self.context.raw for name in feature.raw}
        columns = context_columns(self.data, table, names)
        return {name: pa.array(values[:, 0]) for name, values in transform(self.context, columns).items()}


def save_ids(folder: Path, data: Path) -> None:
    """user_ids.npy and item_ids.npy, in row order: int64, or text without a pickle."""
    for name, ids in zip(("user_ids", "item_ids"), id_columns(data), strict=True):
        array = ids.to_numpy(zero_copy_only=False)
        np.save(folder / f"{name}.npy", array.astype(str) if array.dtype == object else array)


def row_bytes(n_columns: int, history: int) -> int:
    """About how much one interaction takes while it is transformed: columns as Python objects, history with indices."""
    return 200 * (n_columns + 8) + 40 * history
