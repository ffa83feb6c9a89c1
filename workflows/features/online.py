"""Read Feast's online store without its SDK, which costs a serving process 130 MB and seconds of start-up.

The formats are Feast's, with entity keys of version 3:
https://github.com/feast-dev/feast/blob/v0.49.0/docs/specs/online_store_format.md
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from ...core.disk import free_bytes
from ...core.errors import FeatureStoreError
from .redis_deadline import with_deadline

ONLINE_FILE = Path("data") / "online_store.db"
NEARLY_FULL = 1 << 20
"""Bytes that are free on a disk where an error of sqlite's is one of a full disk; its logs have fixed sizes."""
LONGEST_DATABASE = 504
"""Longest path of a file that sqlite opens, in bytes: 512 with the ending of a journal."""
REDIS_VARIABLE = "CASCADE_FEATURE_STORE__REDIS"
"""Environment variable with a connection string that goes before others."""
BATCH = 1024
"""The most keys in one query."""

_STRING, _INT64 = 2, 4  # feast.types.ValueType.Enum


class StoreUnreachableError(FeatureStoreError):
    """The online store gave no answer: there is no connection, or it did not come in time."""


@dataclass(frozen=True)
class FeatureQuery:
    """The features to read: views of one entity in one Feast project, without a feature name in common."""

    project: str
    key: str
    views: dict[str, list[str]] = field(default_factory=dict)
    """View -> its features."""


@dataclass
class OnlineRows:
    """The rows of the store for the keys of one call, in their order."""

    known: list[bool]
    """Whether any of the views has a row for the key."""
    values: dict[str, list[bytes | None]]
    """Feature -> the serialized Feast ``Value`` of each key; None if the store has none."""


class OnlineReader(Protocol):
    """An opened online store."""

    def read(self, keys: Sequence[int | str | None]) -> OnlineRows:
        """The rows for ``keys``; a key of None has no row.

        Raises:
            StoreUnreachableError: if the store does not answer in time.
            FeatureStoreError: if it answers with an error.
        """
        ...


def open_reader(query: FeatureQuery, repo: Path, online: str, redis: str, timeout: float = 1.0) -> OnlineReader:
    """Open the store that ``feature_store.online`` names.

    Args:
        timeout: seconds in which the store has to answer.

    Raises:
        FeatureStoreError: if there is no sqlite store in ``repo``, or it lacks a view.
    """
    if online == "redis":
        return RedisReader.open(query, redis, timeout)
    return SqliteReader.open(query, repo / ONLINE_FILE, timeout)


def check_length(repo: Path) -> None:
    """Check that sqlite can open its file in a Feast repository.

    Raises:
        FeatureStoreError: its path is too long.
    """
    file = (repo / ONLINE_FILE).resolve()
    if (size := len(os.fsencode(file))) > LONGEST_DATABASE:
        raise FeatureStoreError(
            f"feature_store.repo: sqlite opens paths of at most {LONGEST_DATABASE} bytes, {file} has {size}: "
            "set feature_store.repo to a folder with a shorter path, or feature_store.online to redis"
        )


def entity_key(name: str, value: int | str) -> bytes:
    """Feast's key of an entity with one join key (``serialize_entity_key``, version 3)."""
    if isinstance(value, str):
        data = value.encode()
        return _head(name) + struct.pack("<II", _STRING, len(data)) + data
    return _head(name) + struct.pack("<IIq", _INT64, 8, value)


@lru_cache
def _head(name: str) -> bytes:
    label = name.encode()
    return struct.pack("<III", 1, _STRING, len(label)) + label


@dataclass
class SqliteReader:
    """Reads Feast's sqlite store: a table for each view, a row for each key and feature."""

    query: FeatureQuery
    tables: tuple[str, ...]
    connection: sqlite3.Connection

    @classmethod
    def open(cls, query: FeatureQuery, file: Path, timeout: float) -> SqliteReader:
        check_length(file.parents[1])
        if not file.is_file():
            raise FeatureStoreError(
                f"{file}: no online store; run `cascade features apply`, then `cascade features materialize`"
            )
        connection = sqlite3.connect(file, timeout=timeout, check_same_thread=False)
        reader = cls(query, tuple(f"{query.project}_{view}" for view in query.views), connection)
        try:
            connection.execute(f"PRAGMA mmap_size={2**40}")  # sqlite caps it at its compiled limit, 2 GB
            reader._rows([""])
        except sqlite3.Error as error:
            connection.close()
            raise FeatureStoreError(f"{file}: online store: {error}; {way_out(error, file)}") from None
        return reader

    def read(self, keys: Sequence[int | str | None]) -> OnlineRows:
        if len(keys) > BATCH:
            return _joined([self.read(keys[at : at + BATCH]) for at in range(0, len(keys), BATCH)])
        try:
            rows = self._rows(keys)
        except sqlite3.Error as error:
            locked = getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")
            raise (StoreUnreachableError if locked else FeatureStoreError)(f"online store: {error}") from error
        count = _width(len(keys))
        known = [False] * len(keys)
        nothing: list[bytes | None] = [None] * len(keys)
        cells = [{name: nothing.copy() for name in names} for names in self.query.views.values()]
        for at, name, value in rows:
            view, key = divmod(at, count)
            known[key] = True
            if name in cells[view]:
                cells[view][name][key] = value
        return OnlineRows(known, {name: column for view in cells for name, column in view.items()})

    def _rows(self, keys: Sequence[int | str | None]) -> list[tuple[int, str, bytes]]:
        """As `_query` selects them."""
        sought = [None if key is None else entity_key(self.query.key, key) for key in keys]
        sought += [None] * (_width(len(keys)) - len(keys))
        return self.connection.execute(_query(self.tables, len(sought)), sought).fetchall()


def way_out(error: sqlite3.Error, file: Path) -> str:
    """What to do about an error of sqlite with the online store ``file``."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_IOERR_SHORT_READ")):
        return (
            "it is damaged; restore it, or delete it (with its -wal and -shm) and run `cascade features apply` and "
            "`cascade features materialize`; without it, events that were pushed are lost"
        )
    no_space = name.startswith("SQLITE_IOERR") and free_bytes(file) < NEARLY_FULL
    if name == "SQLITE_FULL" or no_space:
        return "free some of the disk (`cascade clean` shows what no release needs), and run this again"
    if not os.access(file.parent, os.W_OK):
        return "who reads must be able to write to its folder, where sqlite keeps a log; or use redis"
    if name.startswith("SQLITE_BUSY"):
        return "another process writes to it; run this again"
    return "run `cascade features apply` and `cascade features materialize`"


def _width(count: int) -> int:
    """A power of two that is not below ``count``, so that few statements are prepared."""
    return 1 << (count - 1).bit_length()


@lru_cache
def _query(tables: tuple[str, ...], count: int) -> str:
    """SQL that selects (table number * ``count`` + key number, feature, value) for ``count`` keys."""
    return " UNION ALL ".join(
        "SELECT column1, feature_name, value"
        f" FROM (VALUES {','.join(f'({count * number + at},?{at + 1})' for at in range(count))})"
        f" CROSS JOIN {table} ON entity_key = column2"
        for number, table in enumerate(tables)
    )


@dataclass
class RedisReader:
    """Reads Feast's Redis store: a hash for each key, with a field for each feature and for the time of each view."""

    query: FeatureQuery
    pool: Any
    names: list[str]
    """The feature of each field; "" for the time of a view, which is present if the view has a row for the key."""
    command: tuple[bytes, bytes]
    """HMGET of all fields in the Redis protocol: the bytes before and after the key."""

    @classmethod
    def open(cls, query: FeatureQuery, connection: str, timeout: float) -> RedisReader:
        import mmh3

        names, fields = [], []
        for view, features in query.views.items():
            names += ["", *features]
            fields.append(f"_ts:{view}".encode())
            fields += [struct.pack("<I", mmh3.hash(f"{view}:{name}", signed=False)) for name in features]
        pool = redis_client(connection, timeout).connection_pool
        pool.connection_class = with_deadline(pool.connection_class)
        command = b"*%d\r\n%s" % (2 + len(fields), _bulk(b"HMGET")), b"".join(map(_bulk, fields))
        return cls(query, pool, names, command)

    def read(self, keys: Sequence[int | str | None]) -> OnlineRows:
        rows = iter(self._rows([entity_key(self.query.key, key) for key in keys if key is not None]))
        nothing = [None] * len(self.names)
        found = [nothing if key is None else next(rows) for key in keys]
        columns = zip(*found, strict=True) if found else ([] for _ in self.names)
        values = {name: list(column) for name, column in zip(self.names, columns, strict=True) if name}
        return OnlineRows([any(value is not None for value in row) for row in found], values)

    def _rows(self, keys: Sequence[bytes]) -> list[list[bytes | None]]:
        """The fields of each key, with all commands in one packet; redis-py's pipeline takes twice the time."""
        from redis import RedisError, ResponseError

        before, after = self.command
        project = self.query.project.encode()
        try:
            connection = self.pool.get_connection("HMGET")
            try:
                connection.renew_deadline()
                connection.send_packed_command([b"".join([before + _bulk(key + project) + after for key in keys])])
                rows = [connection.read_response() for _ in keys]
                if not all(isinstance(row, list) and len(row) == len(self.names) for row in rows):
                    raise ValueError(f"expected lists of {len(self.names)} values")
                return rows
            except BaseException:
                connection.disconnect()  # an unread reply would answer the next call
                raise
            finally:
                self.pool.release(connection)
        except ResponseError as error:
            raise FeatureStoreError(f"online store: {error}") from error
        except (RedisError, OSError, ValueError) as error:  # ValueError: what answers does not speak Redis' protocol
            raise StoreUnreachableError(f"online store: {error}") from error


def _bulk(data: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(data), data)


def _joined(parts: Sequence[OnlineRows]) -> OnlineRows:
    names = parts[0].values
    values = {name: [value for part in parts for value in part.values[name]] for name in names}
    return OnlineRows([known for part in parts for known in part.known], values)


def redis_client(connection: str, timeout: float = 10.0) -> Any:
    """A client for Feast's connection string; ``timeout`` in seconds."""
    from redis import Redis

    return Redis(socket_timeout=timeout, socket_connect_timeout=timeout, **parse_redis(connection))


def parse_redis(connection: str) -> dict[str, Any]:
    """The arguments of ``redis.Redis`` in Feast's connection string ``host:port,db=0,ssl=true,password=...``."""
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
