"""Apply the fitted workflows and write the arrays that the models read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.disk import new_array
from ...core.errors import DataError
from ...core.features import Feature
from ..data.split import NAMES, TEST
from ..history.history import order_positives
from ..tables.ids import id_columns, rows_of
from ..tables.parquet import batches, row_groups, whole_users
from ..tables.raw_features import TABLES
from ..tables.timestamps import to_seconds
from ..tables.validate import LARGEST_DENSE
from ..transforms.codes import mapped
from .fit import FittedSide
from .frames import to_array, to_frame
from .interaction_files import (
    CONTEXT,
    INTERACTIONS,
    LABELS,
    POSITIVES,
    write_rows,
)
from .train_part import context_columns

if TYPE_CHECKING:
    import pyarrow as pa
CHUNK = 65_536
"""Ids written at once."""


def dtype_of(feature: Feature) -> str:
    """dtype on disk: int32 for codes, which are int64 in the models, else float32."""
    return "int32" if feature.kind == "categorical" else "float32"


def transform(side: FittedSide, table: pa.Table) -> dict[str, NDArray[Any]]:
    """Transform the raw columns of one side with NVTabular: feature -> [n, length or 1].

    Raises:
        DataError: naming the first number that is too far from those of the training part.
    """
    frame = side.workflow.transform(to_frame(table, side.raw, side.device))
    found = {f.name: to_array(frame[f.name]).astype(dtype_of(f), copy=False) for f in side.features}
    for feature in side.features:
        if feature.kind == "continuous":
            _check_near(feature, table, found[feature.name])
    return found


def _check_near(feature: Feature, table: pa.Table, values: NDArray[np.float32]) -> None:
    """Refuse numbers that the release refuses in a request, before a model is trained that cannot be evaluated."""
    near = np.abs(values[:, 0]) <= LARGEST_DENSE
    if not near.all():
        value = table[feature.raw[0]][int(np.argmin(near))].as_py()
        raise DataError(
            f"{TABLES[feature.side]}.{feature.name}: {value} is over {LARGEST_DENSE:g} standard deviations from the "
            "values of the training part, which models cannot calculate with in 32 bits; correct it, or leave it empty"
        )


def write_entities(folder: Path, side: FittedSide, source: Path, n: int) -> None:
    """Write an array file [n, length or 1] for each feature of users or items, a row group at a time.

    Args:
        source: the Parquet file of the ``n`` users or items.
    """
    folder.mkdir()
    arrays = {f.name: new_array(folder / f"{f.name}.npy", dtype_of(f), (n, *f.dims)) for f in side.features}
    first = 0
    columns = sorted({name for feature in side.raw for name in feature.raw})
    for group in row_groups(source):
        for name, values in transform(side, group.read(columns)).items():
            arrays[name][first : first + group.rows] = values
        first += group.rows
    for array in arrays.values():
        array.flush()


@dataclass(frozen=True)
class InteractionWriter:
    """Writes a file of the data artifact's interactions into the arrays that ``interaction_files.create`` has made."""

    data: Path
    folder: Path
    """The etl artifact that is being written; items/item_id.npy must exist."""
    context: FittedSide | None
    rows: int
    """Interactions held at once, more if one user has more."""
    first: Mapping[str, Mapping[str, int]]
    """File name -> split -> its first row in the arrays, as in ``RowOffsets``."""
    labels: tuple[str, ...] = ()
    """``data.labels``."""
    time_unit: int | None = None
    """Microseconds in one step of the timestamps, if the times of positives are written."""

    @property
    def columns(self) -> dict[str, str]:
        """Further columns of interactions besides ``SCALARS`` -> dtype."""
        features = self.context.features if self.context else ()
        context = {f"{CONTEXT}/{feature.name}": dtype_of(feature) for feature in features}
        return {**context, **{f"{LABELS}/{name}": "float32" for name in self.labels}}

    @property
    def positives(self) -> dict[str, str]:
        """Columns of the users' positives -> dtype."""
        return {"code": "int32", **({} if self.time_unit is None else {"seconds": "int64"})}

    def write(self, part: Path) -> None:
        """Write the rows of the file ``part``, and the positives of its users."""
        import pyarrow.compute as pc

        at = dict(self.first[part.name])
        for table in whole_users(batches(part, self.rows)):
            columns = self._transformed(table)
            for split in NAMES:
                own = np.flatnonzero(pc.equal(table["split"], split).to_numpy())
                rows = {name: values[own] for name, values in columns.items()}
                write_rows(self.folder / INTERACTIONS / split, rows, at[split])
                at[split] += len(own)

    def _transformed(self, table: pa.Table) -> dict[str, NDArray[Any]]:
        import pyarrow.compute as pc

        user_ids, item_ids = id_columns(self.data)
        user_row, item_row = rows_of(table["user_id"], user_ids), rows_of(table["item_id"], item_ids)
        positive, time = table["positive"].to_numpy(), table["timestamp"].to_numpy()
        test = pc.equal(table["split"], NAMES[TEST]).to_numpy()
        label = table["label"] if "label" in table.column_names else table["positive"]
        labels = {f"{LABELS}/{name}": table[name].to_numpy() for name in self.labels}
        return {
            **{"user_row": user_row, "item_row": item_row, "timestamp": time},
            **{"positive": positive, "label": label.to_numpy()},
            "history_end": self._write_positives(user_row, item_row, time, positive, test),
            **self._context(table),
            **labels,
        }

    def _write_positives(
        self,
        user_row: NDArray[np.int32],
        item_row: NDArray[np.int32],
        time: NDArray[np.int64],
        positive: NDArray[np.bool_],
        test: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        """Write the positives of whole users; returns the end of each row's history, int64 [n]."""
        first = int(mapped(self.folder / POSITIVES / "first.npy")[user_row[0]])
        codes = mapped(self.folder / "items" / "item_id.npy")[:, 0]
        order, end = order_positives(user_row, positive, test)
        columns = {"code": codes[item_row[order]]}
        if self.time_unit is not None:
            columns["seconds"] = to_seconds(time[order], self.time_unit)
        write_rows(self.folder / POSITIVES, columns, first)
        return first + end

    def _context(self, table: pa.Table) -> dict[str, NDArray[Any]]:
        if self.context is None:
            return {}
        names = {name for feature in self.context.raw for name in feature.raw}
        columns = transform(self.context, context_columns(self.data, table, names))
        return {f"{CONTEXT}/{name}": values[:, 0] for name, values in columns.items()}


def save_ids(folder: Path, data: Path) -> None:
    """Write user_ids.npy and item_ids.npy in row order: int64, or fixed-width text, which needs no pickle."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, ids in zip(("user_ids", "item_ids"), id_columns(data), strict=True):
        text = not pa.types.is_integer(ids.type)
        dtype = f"<U{max(1, pc.max(pc.utf8_length(ids)).as_py())}" if text else "int64"
        array = new_array(folder / f"{name}.npy", dtype, (len(ids),))
        for first in range(0, len(ids), CHUNK):
            part = ids.slice(first, CHUNK)
            array[first : first + len(part)] = part.to_pylist() if text else part.to_numpy()
        array.flush()


def row_bytes(n_columns: int) -> int:
    """An estimate of the memory of one interaction while it is transformed, in bytes: columns of Python objects."""
    return 200 * (n_columns + 8)
