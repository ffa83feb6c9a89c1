"""Read Feast's online store without its SDK, which costs a serving process 130 MB and seconds of start-up.

The formats are Feast's own, entity keys of version 3:
https://github.com/feast-dev/feast/blob/v0.49.0/docs/specs/online_store_format.md
"""

from __future__ import annotations

import importlib.util
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..core.errors import FeatureStoreError

ONLINE_FILE = Path("data") / "online_store.db"
Stored = dict[str, bytes]
"""Feature name -> serialized Feast ``Value``."""

_STRING, _INT64 = 2, 4  # feast.types.ValueType.Enum


@dataclass(frozen=True)
class Wanted:
    """What to read: the views of one entity in one Feast project; feature names differ between the views."""

    project: str
    key: str
    views: dict[str, list[str]] = field(default_factory=dict)
    """View name -> its features."""


class OnlineReader(Protocol):
    """An opened online store."""

    def read(self, keys: Sequence[int | str]) -> dict[int | str, Stored]:
        """What the store holds for each of ``keys``; a key that no view holds is left out.

        Raises:
            FeatureStoreError: if the store cannot be read.
        """
        ...


def open_reader(wanted: Wanted, repo: Path, online: str, redis: str, timeout: float = 1.0) -> OnlineReader:
    """The reader for ``feature_store.online``; ``timeout`` is in seconds and covers one wait for the store.

    Raises:
        FeatureStoreError: if there is no sqlite store in ``repo``, or it lacks a view.
    """
    if online == "redis":
        return RedisReader.open(wanted, redis, timeout)
    return SqliteReader.open(wanted, repo / ONLINE_FILE, timeout)


def entity_key(name: str, value: int | str) -> bytes:
    """Feast's key of an entity with one join key (``serialize_entity_key``, version 3)."""
    label = name.encode()
    kind, data = (_STRING, value.encode()) if isinstance(value, str) else (_INT64, struct.pack("<q", value))
    head = struct.pack("<III", 1, _STRING, len(label)) + label
    return head + struct.pack("<II", kind, len(data)) + data


def value_message() -> Any:
    """Feast's protobuf message ``Value``, from its file alone: ``import feast`` would load the whole SDK."""
    package = importlib.util.find_spec("feast")
    if package is None or not package.submodule_search_locations:
        raise FeatureStoreError("feast is not installed")
    file = Path(package.submodule_search_locations[0], "protos", "feast", "types", "Value_pb2.py")
    spec = importlib.util.spec_from_file_location(f"{__name__}_value_pb2", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Value


@dataclass
class SqliteReader:
    """A table for each view, a row for each key and feature."""

    wanted: Wanted
    connection: sqlite3.Connection

    @classmethod
    def open(cls, wanted: Wanted, file: Path, timeout: float) -> SqliteReader:
        if not file.is_file():
            raise FeatureStoreError(f"{file}: no online store; run `cascade features materialize`")
        connection = sqlite3.connect(file, timeout=timeout, check_same_thread=False)
        reader = cls(wanted, connection)
        try:
            reader.read([""])
        except FeatureStoreError as error:
            raise FeatureStoreError(f"{file}: {error}; run `cascade features materialize`") from None
        return reader

    def read(self, keys: Sequence[int | str]) -> dict[int | str, Stored]:
        found: dict[int | str, Stored] = {}
        for some in _slices(list(dict.fromkeys(keys)), 10_000):  # sqlite takes 32,766 variables
            names = {entity_key(self.wanted.key, key): key for key in some}
            try:
                rows = self.connection.execute(self._query(len(names)), list(names)).fetchall()
            except sqlite3.Error as error:
                raise FeatureStoreError(f"online store: {error}") from error
            for key, name, value in rows:
                found.setdefault(names[key], {})[name] = value
        return found

    def _query(self, count: int) -> str:
        marks = ",".join(f"?{n + 1}" for n in range(count))
        return " UNION ALL ".join(
            f"SELECT entity_key, feature_name, value FROM {self.wanted.project}_{view} WHERE entity_key IN ({marks})"
            for view in self.wanted.views
        )


@dataclass
class RedisReader:
    """A hash for each key with a field for each feature and the time of each view."""

    wanted: Wanted
    client: Any
    names: list[str]
    """Feature of each field; "" for the time of a view, which says that the view holds the key."""
    fields: list[bytes]

    @classmethod
    def open(cls, wanted: Wanted, connection: str, timeout: float) -> RedisReader:
        import mmh3
        from redis import Redis

        names, fields = [], []
        for view, features in wanted.views.items():
            names += ["", *features]
            fields.append(f"_ts:{view}".encode())
            fields += [struct.pack("<I", mmh3.hash(f"{view}:{name}", signed=False)) for name in features]
        client = Redis(socket_timeout=timeout, socket_connect_timeout=timeout, **parse_redis(connection))
        return cls(wanted, client, names, fields)

    def read(self, keys: Sequence[int | str]) -> dict[int | str, Stored]:
        from redis import RedisError

        some = list(dict.fromkeys(keys))
        pipe = self.client.pipeline(transaction=False)
        for key in some:
            pipe.hmget(entity_key(self.wanted.key, key) + self.wanted.project.encode(), self.fields)
        try:
            rows = pipe.execute()
        except RedisError as error:
            raise FeatureStoreError(f"online store: {error}") from error
        stored = ({n: v for n, v in zip(self.names, row, strict=True) if v is not None} for row in rows)
        return {key: row for key, row in zip(some, stored, strict=True) if row}


def parse_redis(connection: str) -> dict[str, Any]:
    """Arguments for ``redis.Redis`` from Feast's connection string ``host:port,db=0,ssl=true,password=...``."""
    import json

    address, *pairs = connection.split(",")
    host, _, port = address.partition(":")
    arguments: dict[str, Any] = {"host": host, "port": int(port or 6379)}
    for name, _, value in (pair.partition("=") for pair in pairs):
        try:
            arguments[name] = json.loads(value)
        except json.JSONDecodeError:
            arguments[name] = value
    return arguments


def _slices(values: list[int | str], size: int) -> Iterator[list[int | str]]:
    return (values[start : start + size] for start in range(0, len(values), size))
