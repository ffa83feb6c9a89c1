"""Write Feast's sqlite store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .online_writer import BATCH, EPOCH, Marks, Row, key_of
from .pushed import from_json, to_json

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView


@dataclass(frozen=True)
class SqliteWriter:
    """``created_ts`` of a row is its publication. Pushed events are in a table of the project."""

    store: FeatureStore
    view: FeatureView
    connection: Any
    table: str
    pushed: str
    kept: Sequence[str] = ()

    @classmethod
    def open(cls, store: FeatureStore, view: FeatureView, kept: Sequence[str] = ()) -> SqliteWriter:
        connection = store._get_provider().online_store._get_conn(store.config)
        pushed = f"{store.project}_pushed_events"
        connection.execute(f"CREATE TABLE IF NOT EXISTS {pushed} (entity_key BLOB PRIMARY KEY, events TEXT)")
        return cls(store, view, connection, f"{store.project}_{view.name}", pushed, kept)

    def begin(self) -> datetime:
        # Feast's sqlite store keeps whole seconds
        [last] = self.connection.execute(f"SELECT MAX(created_ts) FROM {self.table}").fetchone()
        return datetime.fromtimestamp(max(int(datetime.now(UTC).timestamp()), (last or 0) + 1), UTC)

    def marks(self, keys: Sequence[bytes]) -> list[Marks]:
        first = self.view.features[0].name
        query = (
            f"SELECT event_ts, created_ts, events FROM (SELECT ? AS key)"
            f" LEFT JOIN {self.table} AS row ON row.entity_key = key AND feature_name = ?"
            f" LEFT JOIN {self.pushed} AS pushed ON pushed.entity_key = key"
        )
        found = [self.connection.execute(query, (key, first)).fetchone() for key in keys]
        return [Marks(_utc(time) or EPOCH, _utc(created), from_json(events)) for time, created, events in found]

    def write(self, rows: Sequence[Row], publication: datetime) -> None:
        if self.view.name == "user_history":
            keys = [key_of(row.key) for row in rows]
            self._many(f"DELETE FROM {self.pushed} WHERE entity_key = ?", [(key,) for key in keys])
            events = [(key, to_json(row.events)) for key, row in zip(keys, rows, strict=True) if row.events]
            self._many(f"INSERT INTO {self.pushed} VALUES (?, ?)", events)
        if self.kept:
            query = (
                f"UPDATE {self.table} SET created_ts = ? WHERE entity_key = ? AND feature_name IN ({_marks(self.kept)})"
            )
            self._many(query, [(_naive(publication), key_of(row.key), *self.kept) for row in rows])
        written = [(row.key, row.values, row.time, publication) for row in rows]
        # commits what is above as well
        self.store._get_provider().online_write_batch(self.store.config, self.view, written, None)

    def delete(self, keys: Sequence[bytes]) -> None:
        found = [(key,) for key in keys]
        with self.connection:
            self._many(f"DELETE FROM {self.table} WHERE entity_key = ?", found)
            if self.view.name == "user_history":
                self._many(f"DELETE FROM {self.pushed} WHERE entity_key = ?", found)

    def trim(self, keys: Sequence[bytes]) -> None:
        names = [*(feature.name for feature in self.view.features), *self.kept]
        query = f"DELETE FROM {self.table} WHERE entity_key = ? AND feature_name NOT IN ({_marks(names)})"
        with self.connection:
            self._many(query, [(key, *names) for key in keys])

    def others(self, publication: datetime | None) -> Iterator[list[bytes]]:
        query = (
            f"SELECT DISTINCT entity_key FROM {self.table} WHERE entity_key > ? AND (? OR created_ts IS NOT ?)"
            f" ORDER BY entity_key LIMIT {BATCH}"
        )
        own, last = publication and _naive(publication), b""
        while keys := [key for (key,) in self.connection.execute(query, (last, own is None, own))]:
            yield keys
            last = keys[-1]

    def _many(self, query: str, rows: Sequence[tuple[Any, ...]]) -> None:
        self.connection.executemany(query, rows)


def _marks(values: Sequence[str]) -> str:
    """A question mark in SQL for each value."""
    return ",".join("?" * len(values))


def _naive(time: datetime) -> datetime:
    """The time as Feast's sqlite store has it."""
    from feast.utils import to_naive_utc

    found: datetime = to_naive_utc(time)
    return found


def _utc(time: datetime | None) -> datetime | None:
    from feast.utils import make_tzaware

    return None if time is None else make_tzaware(time)
