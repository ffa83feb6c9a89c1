"""Write Feast's Redis store."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .online import entity_key
from .online_writer import BATCH, EPOCH, Marks, Row, key_of
from .pushed import from_json, to_json

if TYPE_CHECKING:
    from feast import FeatureView


@dataclass(frozen=True)
class RedisWriter:
    """Two more fields in the hash of a key: the publication with the time that it wrote, and the pushed events."""

    project: str
    view: FeatureView
    client: Any
    kept: Sequence[str] = ()

    @property
    def _time(self) -> bytes:
        return f"_ts:{self.view.name}".encode()

    @property
    def _own(self) -> bytes:
        return f"_own:{self.view.name}".encode()

    @property
    def _pushed(self) -> bytes:
        return f"_pushed:{self.view.name}".encode()

    def _field(self, name: str) -> bytes:
        from feast.infra.online_stores.helpers import _mmh3

        return bytes(_mmh3(f"{self.view.name}:{name}"))

    def begin(self) -> datetime:
        return datetime.now(UTC)

    def marks(self, keys: Sequence[bytes]) -> list[Marks]:
        with self.client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hmget(key + self.project.encode(), self._time, self._own, self._pushed)
            return [
                Marks(_read_time(time), _publication(own, time), from_json(events))
                for time, own, events in pipe.execute()
            ]

    def write(self, rows: Sequence[Row], publication: datetime) -> None:
        from google.protobuf.timestamp_pb2 import Timestamp

        fields = {feature.name: self._field(feature.name) for feature in self.view.features}
        with self.client.pipeline(transaction=False) as pipe:
            for row in rows:
                key = key_of(row.key) + self.project.encode()
                time = Timestamp(seconds=int(row.time.timestamp())).SerializeToString()
                values = {fields[name]: value.SerializeToString() for name, value in row.values.items()}
                marks = {self._time: time, self._own: _microseconds(publication) + time}
                pushed = {self._pushed: to_json(row.events)} if row.events else {}
                pipe.hset(key, mapping={**values, **marks, **pushed})
                if not row.events and self.view.name == "user_history":
                    pipe.hdel(key, self._pushed)
            pipe.execute()

    def delete(self, keys: Sequence[bytes]) -> None:
        fields = [self._field(name) for name in (*(feature.name for feature in self.view.features), *self.kept)]
        with self.client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hdel(key + self.project.encode(), *fields, self._time, self._own, self._pushed)
            pipe.execute()

    def trim(self, keys: Sequence[bytes]) -> None:
        """Nothing: the names of fields are hashes. `drop` deletes those of features that are no more."""

    def drop(self, names: Sequence[str]) -> None:
        """Delete these features of all keys."""
        fields = [self._field(name) for name in names]
        for keys in self.others(None):
            with self.client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.hdel(key + self.project.encode(), *fields)
                pipe.execute()

    def others(self, publication: datetime | None) -> Iterator[list[bytes]]:
        name = self.view.join_keys[0]
        head, project = entity_key(name, "")[:-8], self.project.encode()
        batch: list[bytes] = []
        for found in self.client.scan_iter(match=head + b"*" + project, count=1000):
            key = found.removesuffix(project)
            if _is_key(key, len(head)):  # project may be the end of another project's name
                batch.append(key)
            if len(batch) == BATCH:
                yield self._of_others(batch, publication)
                batch = []
        yield self._of_others(batch, publication)

    def _of_others(self, keys: Sequence[bytes], publication: datetime | None) -> list[bytes]:
        """Those of ``keys`` with a row of the view that another publication wrote."""
        feature = self._field(self.view.features[0].name)
        with self.client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hmget(key + self.project.encode(), self._time, self._own)
                pipe.hexists(key + self.project.encode(), feature)
            found = pipe.execute()
        rows = zip(keys, found[::2], found[1::2], strict=True)
        return [
            key
            for key, (time, own), there in rows
            if (there or time is not None) and (publication is None or _publication(own, time) != publication)
        ]


def _microseconds(time: datetime) -> bytes:
    return struct.pack("<q", (time - EPOCH) // timedelta(microseconds=1))


def _read_time(time: bytes | None) -> datetime:
    from google.protobuf.timestamp_pb2 import Timestamp

    return EPOCH if not time else datetime.fromtimestamp(Timestamp.FromString(time).seconds, UTC)


def _publication(own: bytes | None, time: bytes | None) -> datetime | None:
    """The publication in the field ``own``; None if a tool of Feast's has set the row's time since."""
    if own is None or own[8:] != time:
        return None
    return EPOCH + timedelta(microseconds=struct.unpack("<q", own[:8])[0])


def _is_key(key: bytes, head: int) -> bool:
    """Whether ``key`` ends where its value ends; ``head`` is the length of what comes before the value."""
    return len(key) >= head + 8 and len(key) == head + 8 + struct.unpack_from("<I", key, head + 4)[0]
