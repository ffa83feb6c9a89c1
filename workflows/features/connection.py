"""The connection to Feast's store: its settings, its views, its rows and the lock on writing them."""

from __future__ import annotations

import fcntl
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError, FeatureStoreError
from ..config import ONE_SERVER, FeatureStoreConfig
from .online import ONLINE_FILE, REDIS_VARIABLE, check_length, redis_client, way_out
from .online_writer import OnlineWriter
from .redis_writer import RedisWriter
from .sqlite_writer import SqliteWriter

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

REGISTRY_FILE = Path("data") / "registry.db"


def open_store(section: FeatureStoreConfig) -> FeatureStore:
    """Feast's store object for the project of this pipeline."""
    from feast import FeatureStore, RepoConfig

    repo = data_folder(section).resolve().parent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dask and pydantic warn about Feast's stores, which are imported here
        return FeatureStore(repo_path=str(repo), config=RepoConfig(**feast_settings(section), repo_path=repo))


def feast_settings(section: FeatureStoreConfig, redis: str | None = None) -> dict[str, Any]:
    """The content of feature_store.yaml for this pipeline.

    Args:
        redis: the connection string, if it is not ``section.redis``.
    """
    return {
        "project": project_of(section),
        "provider": "local",
        "registry": str(REGISTRY_FILE),
        "offline_store": {"type": "file"},
        "online_store": online_settings(section, redis),
        "entity_key_serialization_version": 3,
    }


def online_settings(section: FeatureStoreConfig, redis: str | None = None) -> dict[str, Any]:
    """Feast's ``online_store`` settings; ``redis`` as in `feast_settings`."""
    if section.online == "redis":
        # Feast's own scan also finds the keys of projects whose names end like this one's
        return {"type": "redis", "connection_string": redis or section.redis, "full_scan_for_deletion": False}
    return {"type": "sqlite", "path": str(ONLINE_FILE)}


def project_of(section: FeatureStoreConfig) -> str:
    if section.project is None:
        raise ConfigError("feature_store.project: expected a name, is not set")
    return section.project


def check_path(section: FeatureStoreConfig) -> None:
    """Raise FeatureStoreError if the store is on sqlite, and sqlite cannot open files in the repository's folder."""
    if section.online == "sqlite":
        check_length(Path(section.repo))


def data_folder(section: FeatureStoreConfig) -> Path:
    """The folder of the registry and of the sqlite store; it is made.

    Raises:
        FeatureStoreError: sqlite cannot open files there.
    """
    check_path(section)
    folder = Path(section.repo) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_yaml(section: FeatureStoreConfig) -> None:
    """Write the settings for Feast's command line: ``feast --feature-store-yaml data/<project>.yaml``.

    Feast reads a connection string that holds a password from the environment, as we do.
    """
    import yaml

    secret = section.redis != section.redis_without_password
    settings = yaml.safe_dump(feast_settings(section, f"${{{REDIS_VARIABLE}}}" if secret else None), sort_keys=False)
    (data_folder(section) / f"{project_of(section)}.yaml").write_text(settings)


def use_write_ahead_log(section: FeatureStoreConfig) -> None:
    """Switch sqlite to a write-ahead log, so that serving can read while rows are written."""
    if section.online == "sqlite":
        with closing(sqlite3.connect(Path(section.repo) / ONLINE_FILE)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")


def feature_view(store: FeatureStore, name: str) -> FeatureView:
    from feast.errors import FeatureViewNotFoundException

    try:
        return store.get_feature_view(name)
    except FeatureViewNotFoundException:
        raise FeatureStoreError(f"{store.project}: no feature view {name}; run `cascade features apply`") from None


def open_writer(store: FeatureStore, view: FeatureView, kept: Sequence[str] = ()) -> OnlineWriter:
    """The rows of ``view`` in the online store.

    Args:
        kept: features beside those of the view that stay.
    """
    online = store.config.online_store
    if online.type == "redis":
        return RedisWriter(store.project, view, store._get_provider().online_store._get_client(online), kept)
    return SqliteWriter.open(store, view, kept)


@contextmanager
def reaching(section: FeatureStoreConfig) -> Iterator[None]:
    """Raise FeatureStoreError in place of an error of Redis or sqlite, or of a registry that cannot be read.

    Feast's own errors do not say which server or file it was.
    """
    from google.protobuf.message import DecodeError

    try:
        yield
    except _redis_errors(section) as error:
        from redis import AuthenticationError

        address = section.redis.partition(",")[0]
        refused = isinstance(error, AuthenticationError)
        advice = f"set {REDIS_VARIABLE} with the password" if refused else "start Redis and run this again"
        raise FeatureStoreError(f"feature_store.redis: {address}: {error}; {advice}") from error
    except sqlite3.Error as error:
        file = Path(section.repo) / ONLINE_FILE
        raise FeatureStoreError(f"{file}: online store: {error}; {way_out(error, file)}") from error
    except DecodeError as error:
        raise FeatureStoreError(
            f"{Path(section.repo) / REGISTRY_FILE}: no registry of Feast ({error}); it is damaged; restore it, or "
            "delete it and run `cascade features apply` and `cascade features materialize` for each project in it"
        ) from error


def _redis_errors(section: FeatureStoreConfig) -> tuple[type[Exception], ...]:
    if section.online != "redis":
        return ()
    from redis import RedisError

    return (RedisError,)


def check_single_server(section: FeatureStoreConfig, timeout: float = 5.0) -> None:
    """Check that ``feature_store.redis`` answers, and is neither a node of a Redis Cluster nor a Sentinel.

    Args:
        timeout: seconds to wait for an answer.

    Raises:
        ConfigError: it is one.
        FeatureStoreError: it does not answer.
    """
    if section.online != "redis":
        return
    from redis.exceptions import ResponseError

    with reaching(section):
        client = redis_client(section.redis, timeout)
        try:
            mode = client.info("server").get("redis_mode", "standalone")
        except ResponseError:  # users may be forbidden to ask
            return
    if mode != "standalone":
        address = section.redis.partition(",")[0]
        raise ConfigError(f"feature_store.redis: {address} runs in the mode {mode}; {ONE_SERVER}")


@contextmanager
def single_writer(store: FeatureStore) -> Iterator[None]:
    """Hold the write lock of the project, so that rows do not change between the reading and the writing of an update.

    On Redis the lock of a process that died is released after a minute.
    """
    online = store.config.online_store
    if online.type == "redis":
        client = store._get_provider().online_store._get_client(online)
        with client.lock(f"{store.project}:writer", timeout=60):
            yield
    else:
        with (Path(store.repo_path) / "data" / f"{store.project}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
