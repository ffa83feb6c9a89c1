"""Interactions of users and items that the tables users and items lack: ``data.unknown``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..tables.canonical import kind_of
from ..tables.rows import ROWS, Rows
from ..tables.validate import check_id_type, check_known

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

ENTITIES = {"user_id": "users", "item_id": "items"}
"""Id column -> the table whose rows it identifies."""


class UnknownIds:
    """Refuses, drops or keeps the interactions of unknown ids, and counts them.

    Args:
        action: ``data.unknown``.
        known: table name -> its ids, for the tables that the source has.
    """

    def __init__(self, action: Literal["refuse", "drop", "keep"], known: dict[str, pa.Array]) -> None:
        self.action = action
        self.known = known
        self.rows = 0
        self.ids = {name: ids.slice(0, 0) for name, ids in known.items()}
        """Table name -> the ids that it lacks."""

    def kept(self, chunk: pa.Table, rows: Rows = ROWS) -> NDArray[np.bool_]:
        """Which rows of a chunk stay: bool [n].

        Args:
            rows: names the chunk's rows, for messages.

        Raises:
            DataError: for an unknown id, if it is refused, and for ids of another type.
        """
        import pyarrow.compute as pc

        unknown = np.zeros(chunk.num_rows, bool)
        for column, name in ENTITIES.items():
            if name not in self.known:
                continue
            if self.action == "refuse":
                check_known(chunk, column, self.known[name], name, rows)
                continue
            check_id_type(chunk, column, self.known[name], name)
            mask = np.asarray(pc.invert(pc.is_in(chunk[column], value_set=self.known[name])))
            self._note(name, chunk[column].filter(mask))
            unknown |= mask
        self.rows += int(unknown.sum())
        return ~unknown if self.action == "drop" else np.ones(chunk.num_rows, bool)

    def metrics(self) -> dict[str, Any]:
        """The numbers of unknown ids and of their interactions; a warning is logged if there are any."""
        if self.action == "refuse":
            return {}
        counts = {name: len(ids) for name, ids in self.ids.items()}
        if self.rows:
            done = "left out" if self.action == "drop" else "kept, with missing features"
            lacking = " and ".join(f"{count:,} {name}" for name, count in counts.items() if count)
            log.warning(
                "interactions: %s rows of %s that the tables lack are %s (data.unknown: %s)",
                *(f"{self.rows:,}", lacking, done, self.action),
            )
        return {"unknown": {"interactions": self.rows, **counts}}

    def grown(self, table: pa.Table, name: str, key: str) -> pa.Table:
        """The table ``name`` with a row for each unknown id that is kept, whose other columns are missing."""
        import pyarrow as pa

        ids = self.ids.get(name, [])
        if self.action != "keep" or not len(ids):
            return table
        columns = {field.name: _missing(field.type, len(ids)) for field in table.schema}
        return pa.concat_tables([table, pa.table({**columns, key: ids}, schema=table.schema)])

    def _note(self, name: str, ids: pa.ChunkedArray) -> None:
        import pyarrow as pa

        if len(ids):
            self.ids[name] = pa.chunked_array([self.ids[name], *ids.chunks]).combine_chunks().unique()


def _missing(kind: pa.DataType, count: int) -> pa.Array:
    """Missing values; an empty list in the place of a list, as everywhere in canonical tables."""
    import pyarrow as pa

    if str(kind_of(kind)).startswith("list_"):
        return pa.array([[]] * count, kind)
    return pa.nulls(count, kind)
