"""The training part: its users and items, and its rows as partitions that workflows are fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError, DataError
from ...core.features import Side
from ..tables.ids import id_columns, rows_of
from ..tables.parquet import RowGroup, row_groups
from ..tables.raw_features import TABLES, RawFeature
from .frames import to_frame

if TYPE_CHECKING:
    import pyarrow as pa


@lru_cache(maxsize=2)
def user_table(data: Path, columns: tuple[str, ...]) -> pa.Table:
    """Columns of the users table, for crosses of user and context; cached, because each task needs them."""
    import pyarrow.parquet as pq

    return pq.read_table(data / "users.parquet", columns=list(columns))


@dataclass(frozen=True)
class TrainPart:
    """Counts of the training part of a data artifact."""

    data: Path
    user_events: NDArray[np.int64]
    """[n_users], training interactions of each user."""
    item_events: NDArray[np.int64]
    """[n_items]."""
    item_positives: NDArray[np.int64]
    """[n_items]."""
    rows: dict[RowGroup, int]
    """Training interactions in each row group."""

    @classmethod
    def survey(cls, data: Path) -> TrainPart:
        """Count the training interactions in ``data``, one row group after the other."""
        import pyarrow.compute as pc

        users, items = id_columns(data)
        user_events, item_events, item_positives = (np.zeros(len(ids), np.int64) for ids in (users, items, items))
        rows: dict[RowGroup, int] = {}
        for group in row_groups(data / "interactions"):
            table = group.read(["user_id", "item_id", "positive", "split"])
            table = table.filter(pc.equal(table["split"], "train"))
            rows[group] = table.num_rows
            user, item = rows_of(table["user_id"], users), rows_of(table["item_id"], items)
            user_events += np.bincount(user, minlength=len(users))
            item_events += np.bincount(item, minlength=len(items))
            item_positives += np.bincount(item[table["positive"].to_numpy()], minlength=len(items))
        return cls(data, user_events, item_events, item_positives, rows)

    def partitions(self, side: Side, min_frequency: int, max_ids: int | None = None) -> list[Partition]:
        """The rows that a side's workflow is fitted on: training interactions, or the users or items that have one.

        Args:
            min_frequency: an id with fewer training interactions is left out of the vocabulary.
            max_ids: only the ids with the most training interactions, at most so many, are in the vocabulary.
        """
        if side == "context":
            return [Partition(self.data, group, side) for group, rows in self.rows.items() if rows]
        events = self.user_events if side == "user" else self.item_events
        rare, found, first = rare_entities(events, min_frequency, max_ids), [], 0
        for group in row_groups(self.data / f"{TABLES[side]}.parquet"):
            rows = slice(first, first + group.rows)
            first += group.rows
            if events[rows].any():
                found.append(Partition(self.data, group, side, events[rows] > 0, rare[rows]))
        return found


def rare_entities(events: NDArray[np.int64], least: int, most: int | None) -> NDArray[np.bool_]:
    """The entities left out of a vocabulary, bool [n]: with fewer than ``least`` of ``events`` [n], or not among the
    ``most`` frequent. Of a tie the first ones stay."""
    rare = events < least
    if most is not None:
        rare[np.argsort(-events, kind="stable")[most:]] = True
    return rare


@dataclass(frozen=True)
class Partition:
    """A row group to fit on, read by the task that needs it."""

    data: Path
    group: RowGroup
    side: Side
    keep: NDArray[np.bool_] | None = None
    """Of users or items: the rows with a training interaction."""
    rare: NDArray[np.bool_] | None = None
    """Of users or items: the rows whose id is left out of the vocabulary (``etl.min_frequency``, ``etl.max_size``)."""

    def table(self, features: Sequence[RawFeature]) -> pa.Table:
        """The raw columns of ``features``, training rows only."""
        import pyarrow as pa
        import pyarrow.compute as pc

        names = {name for feature in features for name in feature.raw}
        if self.side == "context":
            return context_columns(self.data, self.group.read(_stored(self.group, names)), names, train_only=True)
        table = self.group.read(sorted(names))
        key = f"{self.side}_id"
        if key in names and self.rare is not None and self.rare.any():
            ids = pc.if_else(pa.array(self.rare), pa.scalar(None, table[key].type), table[key])
            table = table.set_column(table.column_names.index(key), key, ids)
        return table.filter(pa.array(self.keep))


def _stored(group: RowGroup, names: set[str]) -> list[str]:
    """The columns to read from the file: those of ``names`` that it has, and those that the others depend on."""
    import pyarrow.parquet as pq

    stored = pq.read_schema(group.file).names
    return [name for name in stored if name in names | {"user_id", "split"}]


def context_columns(data: Path, table: pa.Table, names: set[str], *, train_only: bool = False) -> pa.Table:
    """The columns ``names`` for a table of interactions; a column that it lacks is taken from its users.

    Args:
        train_only: leave out the rows of other splits.
    """
    import pyarrow.compute as pc

    if train_only:
        table = table.filter(pc.equal(table["split"], "train"))
    of_user = tuple(sorted(names - set(table.column_names)))
    if of_user:
        user_row = rows_of(table["user_id"], id_columns(data)[0])
        users = user_table(data, of_user).take(user_row)
        for name in of_user:
            table = table.append_column(name, users[name])
    return table.select(sorted(names))


def lengths_of(parts: Sequence[Partition], features: Sequence[RawFeature], longest: int) -> dict[str, int]:
    """List feature -> its fixed length: that of the longest list in the training part, and of vectors their width.

    Args:
        longest: the most for lists, but not for vectors.

    Raises:
        DataError: naming a column without any value in the training part, from which nothing could be learned.
        ConfigError: if the threshold for ids leaves none.
    """
    import dask

    found = dask.compute([dask.delayed(_extent)(part, features) for part in parts])[0]
    lengths = {}
    for feature in features:
        for name in feature.raw:
            if sum(extent[name][0] for extent in found) == 0:
                rare = (part.rare is not None and part.rare.any() for part in parts)
                if name == f"{feature.side}_id" and any(rare):
                    raise ConfigError(
                        f"etl.min_frequency: no {name} has so many interactions in the training part, so models would "
                        "know none; lower it"
                    )
                raise DataError(
                    f"{TABLES[feature.side]}.{name}: no value in any row of the training part; take it out of the "
                    "schema until it has values, or choose another data.split"
                )
        if feature.is_list:
            widest = max(extent[feature.name][1] for extent in found)
            lengths[feature.name] = widest if feature.role == "vector" else min(widest, longest)
    return lengths


def _extent(part: Partition, features: Sequence[RawFeature]) -> dict[str, tuple[int, int]]:
    """Column -> the number of its values, and the length of its longest list."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = part.table(features)
    extents = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_list(column.type):
            sizes = pc.list_value_length(column)
            extents[name] = (pc.sum(sizes).as_py() or 0, pc.max(sizes).as_py() or 0)
        else:
            extents[name] = (len(column) - column.null_count, 1)
    return extents


def frame_of(part: Partition, features: Sequence[RawFeature], device: str) -> Any:
    """A partition as a frame; the function that Dask's tasks call."""
    return to_frame(part.table(features), features, device)
