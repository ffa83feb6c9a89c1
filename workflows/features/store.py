"""The online feature store: apply, materialize and push, through Feast."""

from __future__ import annotations

import fcntl
import json
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.artifact import Artifact
from ...core.errors import ConfigError, FeatureStoreError
from ...core.files import locked
from ..config import FeatureStoreConfig
from .definitions import feast_objects
from .online import ONLINE_FILE, FeatureQuery, open_reader, redis_client
from .online_writer import EPOCH, OnlineWriter, Row, key_of
from .publication import Publication, items_of
from .push import pushed_row, seconds_of, typed_ids
from .redis_writer import RedisWriter
from .spec import FeatureSpec, View
from .sqlite_writer import SqliteWriter
from .tables import EVENT_TIME, ROW_GROUP
from .values import set_value

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView


def publish(section: FeatureStoreConfig, artifact: Artifact) -> bool:
    """Apply and materialize ``artifact``, unless the store holds it already.

    Returns:
        Whether anything was written.

    Raises:
        ConfigError: if the section names no project.
    """
    marker = _marker(section)
    noted = json.loads(marker.read_text()) if marker.is_file() else None
    if noted == _published(section, artifact) and _holds(section, artifact):
        return False
    apply(section, artifact)
    materialize(section, artifact)
    return True


@contextmanager
def _reaching(section: FeatureStoreConfig) -> Iterator[None]:
    """Raise FeatureStoreError in place of an error of Redis.

    Feast's own errors do not say which server was not reached.
    """
    if section.online != "redis":
        yield
        return
    from redis import RedisError

    try:
        yield
    except RedisError as error:
        address = section.redis.partition(",")[0]
        raise FeatureStoreError(f"feature_store.redis: {address}: {error}; start Redis and run this again") from error


def apply(section: FeatureStoreConfig, artifact: Artifact) -> list[str]:
    """Register the entities and views of the artifact, drop other views of the project, and create the online tables.

    Returns:
        The names of the feature views.
    """
    store = open_store(section)
    objects = feast_objects(artifact.path.resolve(), store.repo_path, store.project)
    stale = [view for view in store.list_feature_views() if view.name not in objects]
    store.apply(list(objects.values()), objects_to_delete=list(stale), partial=False)
    if section.online == "redis":
        with _reaching(section):
            _delete_views(store, stale)
    _use_write_ahead_log(section)
    _write_yaml(section)
    return [name for name in objects if name in {view.name for view in store.list_feature_views()}]


def materialize(section: FeatureStoreConfig, artifact: Artifact) -> dict[str, int]:
    """Make the online store equal to the artifact, in Feast's format, a row group at a time.

    Rows that the artifact lacks are deleted, and its values win whatever times are stored. Events that were pushed
    after the artifact's cut stay, in front of the artifact's history. If it is killed, `publish` begins anew.

    Feast's ``materialize`` holds a whole table in memory and sorts it; here every key occurs once, so no sort is
    needed.

    Returns:
        View -> rows written.

    Raises:
        FeatureStoreError: if a view has not been applied, or Redis is not reached.
    """
    store = open_store(section)
    spec = FeatureSpec.load(artifact.path)
    cut = datetime.fromisoformat(artifact.metrics["cut"])
    views = [(view, _feature_view(store, view.name)) for view in spec.views]
    written = {}
    with locked(_data(section) / f"{store.project}.publishing"), _reaching(section):
        _forget_published(section)
        end = datetime.now(UTC)
        for view, target in views:
            writer = open_writer(store, target)
            publication = Publication(target, writer, lambda: _single_writer(store), cut, spec.seen, writer.begin())
            written[view.name] = sum(
                publication.write(rows) for rows in _rows(artifact.path, view, spec.keys[view.key])
            )
            publication.remove_others()
            store.registry.apply_materialization(target, store.project, EPOCH, end)
        _note_published(section, artifact)
    return written


def push_history(
    section: FeatureStoreConfig,
    user_id: int | str,
    item_ids: Sequence[int | str],
    times: Sequence[int] | None = None,
) -> list[Any]:
    """Add the items of new events to the front of a user's history in the online store.

    The events are positives; ``rejected_ids`` is unchanged. Concurrent pushes are all kept.

    Args:
        item_ids: in the order of their events.
        times: with ``history.gaps``, the timestamps of the events in the unit of the log, as many as ``item_ids``. The
            default is now, if the log's timestamps come from a clock.

    Returns:
        The new history, most recent first.

    Raises:
        FeatureStoreError: if ids or times do not fit the feature view of this pipeline, or Redis is not reached.
    """
    store = open_store(section)
    view = _feature_view(store, "user_history")
    user, *items = typed_ids(view, user_id, item_ids)
    seconds = seconds_of(view, len(items), times)
    writer, key = open_writer(store, view), _entity_key(view, user)
    with _reaching(section), _single_writer(store):
        [marks] = writer.marks([key_of(key)])
        [(_, values)] = store._get_provider().online_read(store.config, view, [key])
        row = pushed_row(view, key, marks, values, items, seconds)
        writer.write([row], marks.publication or row.time)
    return items_of(row.values["history_ids"])


def open_writer(store: FeatureStore, view: FeatureView) -> OnlineWriter:
    """The rows of ``view`` in the online store."""
    online = store.config.online_store
    if online.type == "redis":
        return RedisWriter(store.project, view, store._get_provider().online_store._get_client(online))
    return SqliteWriter.open(store, view)


def open_store(section: FeatureStoreConfig) -> FeatureStore:
    """Feast's store object for the project of this pipeline."""
    from feast import FeatureStore, RepoConfig

    repo = _data(section).resolve().parent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dask and pydantic warn about Feast's stores, which are imported here
        return FeatureStore(repo_path=str(repo), config=RepoConfig(**feast_settings(section), repo_path=repo))


def feast_settings(section: FeatureStoreConfig) -> dict[str, Any]:
    """The content of feature_store.yaml for this pipeline."""
    return {
        "project": _project(section),
        "provider": "local",
        "registry": "data/registry.db",
        "offline_store": {"type": "file"},
        "online_store": online_settings(section),
        "entity_key_serialization_version": 3,
    }


def online_settings(section: FeatureStoreConfig) -> dict[str, Any]:
    """Feast's ``online_store`` settings."""
    if section.online == "redis":
        # Feast's own scan also finds the keys of projects whose names end like this one's
        return {"type": "redis", "connection_string": section.redis, "full_scan_for_deletion": False}
    return {"type": "sqlite", "path": str(ONLINE_FILE)}


def _project(section: FeatureStoreConfig) -> str:
    if section.project is None:
        raise ConfigError("feature_store.project: expected a name, is not set")
    return section.project


def _data(section: FeatureStoreConfig) -> Path:
    folder = Path(section.repo) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _marker(section: FeatureStoreConfig) -> Path:
    """The file that says what was published last."""
    return _data(section) / f"{_project(section)}.json"


def _published(section: FeatureStoreConfig, artifact: Artifact) -> dict[str, Any]:
    """What the marker holds after a publication."""
    return {"digest": artifact.digest, "online": online_settings(section)}


def _note_published(section: FeatureStoreConfig, artifact: Artifact) -> None:
    """Note what was published; in Redis as well, because other machines may publish to it."""
    if section.online == "redis":
        redis_client(section.redis).set(f"{_project(section)}:published", artifact.digest)
    _marker(section).write_text(json.dumps(_published(section, artifact), indent=1))


def _forget_published(section: FeatureStoreConfig) -> None:
    """Forget what was published, so that a publication that is killed is not taken for a finished one."""
    _marker(section).unlink(missing_ok=True)
    if section.online == "redis":
        redis_client(section.redis).delete(f"{_project(section)}:published")


def _holds(section: FeatureStoreConfig, artifact: Artifact) -> bool:
    """Whether the online store knows a user of the artifact; the marker file may outlive the store."""
    import pyarrow.parquet as pq

    wanted = FeatureQuery(_project(section), "user_id", {"user_history": ["history_ids"]})
    head = next(pq.ParquetFile(artifact.path / "user_history.parquet").iter_batches(1, columns=["user_id"]), None)
    try:
        reader = open_reader(wanted, Path(section.repo), section.online, section.redis)
        known = head is None or any(reader.read(head.column("user_id").to_pylist()).known)
        return known and _noted_in_redis(section) in (None, artifact.digest)
    except FeatureStoreError:
        return False


def _noted_in_redis(section: FeatureStoreConfig) -> str | None:
    """The digest of what was published last; empty if nothing was, None for another store."""
    if section.online != "redis":
        return None
    with _reaching(section):
        digest = redis_client(section.redis).get(f"{_project(section)}:published")
    return digest.decode() if digest else ""


def _write_yaml(section: FeatureStoreConfig) -> None:
    """Write the settings for Feast's command line: ``feast --feature-store-yaml data/<project>.yaml``."""
    import yaml

    settings = yaml.safe_dump(feast_settings(section), sort_keys=False)
    (_data(section) / f"{_project(section)}.yaml").write_text(settings)


def _use_write_ahead_log(section: FeatureStoreConfig) -> None:
    """Switch sqlite to a write-ahead log, so that serving can read while rows are written."""
    if section.online == "sqlite":
        with closing(sqlite3.connect(Path(section.repo) / ONLINE_FILE)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")


def _feature_view(store: FeatureStore, name: str) -> FeatureView:
    from feast.errors import FeatureViewNotFoundException

    try:
        return store.get_feature_view(name)
    except FeatureViewNotFoundException:
        raise FeatureStoreError(f"{store.project}: no feature view {name}; run `cascade features apply`") from None


def _rows(folder: Path, view: View, kind: str) -> Iterator[list[Row]]:
    """The rows of each row group of the view's file.

    Feast's own conversion takes a column of integers and nulls through floats, so large ones would change.

    Args:
        kind: of the key, int or string.
    """
    import pyarrow.parquet as pq
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    for batch in pq.ParquetFile(folder / view.file).iter_batches(ROW_GROUP):
        keys = [set_value(Value(), key, kind) for key in batch[view.key].to_pylist()]
        columns = {
            name: [set_value(Value(), value, each) for value in batch[name].to_pylist()]
            for name, each in view.columns.items()
        }
        yield [
            Row(EntityKey(join_keys=[view.key], entity_values=[key]), {n: c[at] for n, c in columns.items()}, time)
            for at, (key, time) in enumerate(zip(keys, batch[EVENT_TIME].to_pylist(), strict=True))
        ]


@contextmanager
def _single_writer(store: FeatureStore) -> Iterator[None]:
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


def _delete_views(store: FeatureStore, views: Sequence[FeatureView]) -> None:
    """Delete all rows of views that are no more."""
    for view in views:
        writer = open_writer(store, view)
        for keys in writer.others(None):
            with _single_writer(store):
                writer.delete(keys)


def _entity_key(view: FeatureView, user: int | str) -> Any:
    """Feast's ``EntityKey`` message of a user."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.type_map import python_values_to_proto_values

    kind = view.entity_columns[0].dtype.to_value_type()
    return EntityKey(join_keys=["user_id"], entity_values=python_values_to_proto_values([user], kind))
