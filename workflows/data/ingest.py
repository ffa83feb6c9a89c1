"""Read a source and check it: users and items as whole tables, interactions chunk by chunk into the spool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ConfigError, DataError
from ...core.progress import progress
from ..config import DataConfig
from ..sources import Source
from ..tables.canonical import IDS, canonical
from ..tables.ids import plain_ids
from ..tables.names import DERIVED, way_out
from ..tables.rows import Rows
from ..tables.timestamps import TimeReader
from ..tables.validate import (
    check_catalogue,
    check_columns,
    check_entity_table,
    check_finite,
    check_interactions,
    check_order,
)
from .expressions import positives, with_label
from .split import NAMES, by_column
from .unknown import ENTITIES, UnknownIds
from .vectors import vector_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from .spool import Spool


def ingest(
    source: Source, spool: Spool, config: DataConfig, vectors: Sequence[str] = (), dense: Sequence[str] = ()
) -> tuple[dict[str, pa.Table], InteractionIngester]:
    """Check the source's tables and write its interactions to the spool.

    Args:
        vectors: columns of items that hold vectors, as lists of numbers of one length.
        dense: columns of numbers that models calculate with.

    Returns:
        ``users`` and ``items`` sorted by id, and what has read the interactions. A table that the source does not have
        is made from the ids of the interactions.

    Raises:
        DataError: naming table, column and row.
    """
    import pyarrow as pa

    given = {name: getattr(source, name) for name in ENTITIES.values()}
    rows = {name: Rows(0, source.parts.get(name, ()), source.lines.get(name, ())) for name in ("interactions", *given)}
    entities = {n: checked_entities(t, n, vectors, dense, rows[n]) for n, t in given.items() if t is not None}
    known = {name: entities[name][key].combine_chunks() for key, name in ENTITIES.items() if name in entities}
    ingester = InteractionIngester(config, spool, known, dense, rows["interactions"])
    with progress(total=source.rows, unit="row", unit_scale=True, desc="interactions", leave=False) as bar:
        for chunk in source.interactions():
            ingester.add(chunk)
            bar.update(chunk.num_rows)
    found = ingester.finish()
    source.metrics.update(ingester.unknown.metrics())
    tables = {
        name: ingester.unknown.grown(entities[name], name, key) if name in entities else pa.table({key: found[key]})
        for key, name in ENTITIES.items()
    }
    check_catalogue(tables["items"])
    return {name: tables[name].sort_by(key) for key, name in ENTITIES.items()}, ingester


def checked_entities(table: pa.Table, name: str, vectors: Sequence[str], dense: Sequence[str], rows: Rows) -> pa.Table:
    """The users or items in canonical types, after all checks.

    Args:
        name: ``users`` or ``items``.
        vectors, dense: as in `ingest`.
        rows: names the table's rows, for messages.

    Raises:
        DataError: naming table, column and row.
    """
    key = next(key for key, value in ENTITIES.items() if value == name)
    table = plain_ids(table, name, [key], rows)
    check_entity_table(table, name, key, rows)
    pretrained = vector_columns(table, vectors, rows) if name == "items" else {}
    table = canonical(table.drop_columns([*pretrained]), name, rows)
    for column, lists in pretrained.items():
        table = table.append_column(column, lists)
    for column in table.column_names:
        check_finite(table, name, column, dense=column in dense, rows=rows)
    return table


class InteractionIngester:
    """Checks chunks of interactions in file order, adds what we derive from them, and writes them to the spool.

    Args:
        known: table name -> its ids, for the tables that the source has.
        dense: columns of numbers that models calculate with.
        rows: names the rows, for messages.

    Attributes:
        has_timestamp: whether the source has timestamps; if not, the row number takes their place.
        times: what the numbers in the spool's column ``timestamp`` mean.
        positives: the number of positives in the spool.
    """

    def __init__(
        self, config: DataConfig, spool: Spool, known: dict[str, pa.Array], dense: Sequence[str], rows: Rows
    ) -> None:
        self.config = config
        self.dense = dense
        self.rows = rows
        self.spool = spool
        self.unknown = UnknownIds(config.unknown, known)
        self.has_timestamp = False
        self.times = TimeReader()
        self._read = 0
        self._ids: dict[str, pa.Array] = {}
        self._labels: set[float] = set()
        self.positives = 0

    def add(self, raw: pa.Table) -> None:
        """Check a chunk and write it to the spool."""
        import pyarrow as pa

        rows = self.rows.after(self._read)
        self._read += raw.num_rows
        raw = plain_ids(raw, "interactions", IDS, rows)
        check_interactions(raw, self.config.labels, rows)
        times = self._times(raw, rows)
        rest = raw.drop_columns(["timestamp"]) if self.has_timestamp else raw
        chunk = canonical(rest, "interactions", rows).append_column("timestamp", self.times.shown(times))
        chunk = with_label(chunk, self.config.label, self.config.csv.decimal, rows)
        self._check_reserved(chunk)
        kept = self.unknown.kept(chunk, rows)
        for column in chunk.column_names:
            check_finite(chunk, "interactions", column, dense=column in self.dense, rows=rows)
        chunk = chunk.append_column(
            "positive", pa.array(positives(chunk, self.config.positive, self.config.csv.decimal))
        )
        if self.config.split.given is not None:
            chunk = self._with_given_split(chunk, self.config.split.given, rows)
        if self.config.has_order:
            check_order(chunk, rows)
        chunk = chunk.set_column(chunk.column_names.index("timestamp"), "timestamp", times)
        chunk = chunk if kept.all() else chunk.filter(kept)
        for column in IDS:
            self._note_ids(chunk, column, rows)
        if "label" in chunk.column_names:
            self._labels |= set(chunk["label"].unique().to_pylist())
        self.positives += int(np.sum(chunk["positive"].to_numpy()))
        self.spool.write(chunk)

    @property
    def spooled(self) -> Rows | None:
        """Names the rows of the spool; None if rows before them were left out."""
        return self.rows if self.spool.rows == self._read else None

    def finish(self) -> dict[str, pa.Array]:
        """Close the spool and run the checks that need all rows; returns the ids of unknown tables, by column."""
        self.spool.close()
        if self.spool.rows == 0:
            left_out = f": all {self._read} rows are of unknown ids (data.unknown: drop)" if self._read else ""
            raise DataError(f"interactions: the table is empty{left_out}")
        self.times.range.check()
        if len(self._labels) == 1:
            raise DataError(
                f"interactions.label, rows 0 to {self.spool.rows - 1}: all are {self._labels.pop():g}, so there is "
                "nothing to learn; expected both 0 and 1"
            )
        if self.positives == 0:
            expression = self.config.positive or "label == 1"
            raise DataError(f"interactions: no row is positive ({expression}), rows 0 to {self.spool.rows - 1}")
        return self._ids

    def _times(self, raw: pa.Table, rows: Rows) -> pa.Array:
        """The timestamps, int64 or float64: the source's, or else the row numbers."""
        import pyarrow as pa

        if "timestamp" not in raw.column_names:
            if self.config.has_order:
                raise ConfigError(
                    "data.columns.order: sorts interactions of equal timestamps, and there are no timestamps; name the "
                    "column that holds the order data.columns.timestamp"
                )
            return pa.array(np.arange(rows.start, rows.start + raw.num_rows))
        self.has_timestamp = True
        return self.times.read(raw["timestamp"], rows)

    def _check_reserved(self, chunk: pa.Table) -> None:
        for name in DERIVED:
            if name in chunk.column_names and name != self.config.split.given:
                raise DataError(f"interactions.{name}: we add a column of that name; {way_out(name)}")

    def _note_ids(self, chunk: pa.Table, column: str, rows: Rows) -> None:
        import pyarrow as pa

        if ENTITIES[column] in self.unknown.known:
            return
        fresh = chunk[column].combine_chunks().unique()
        before = self._ids.get(column)
        if before is not None and before.type != fresh.type:
            raise DataError(f"interactions.{column}, {rows(0)}: wrong type {fresh.type}, was {before.type} before")
        self._ids[column] = fresh if before is None else pa.concat_arrays([before, fresh]).unique()

    def _with_given_split(self, chunk: pa.Table, column: str, rows: Rows) -> pa.Table:
        import pyarrow as pa

        check_columns(chunk, "interactions", [column])
        names = pa.array(np.asarray(NAMES)[by_column(chunk, column, rows)])
        if "split" in chunk.column_names:
            return chunk.set_column(chunk.column_names.index("split"), "split", names)
        return chunk.append_column("split", names)
