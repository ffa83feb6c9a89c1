"""The online feature store: apply, materialize and push, through Feast."""

from __future__ import annotations

import fcntl
import json
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.artifact import Artifact
from ...core.errors import ConfigError, FeatureStoreError
from ..config import FeatureStoreConfig
from ..tables.timestamps import time_unit, to_seconds
from .definitions import PUSH_SOURCE, feast_objects
from .online import ONLINE_FILE, FeatureQuery, open_reader
from .spec import FeatureSpec, View
from .tables import ROW_GROUP

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def publish(section: FeatureStoreConfig, artifact: Artifact) -> bool:
    """Apply and materialize ``artifact``, unless the store holds it already.

    Returns:
        Whether anything was written.

    Raises:
        ConfigError: if the section names no project.
    """
    marker = _data(section) / f"{_project(section)}.json"
    wanted = {"digest": artifact.digest, "online": online_settings(section)}
    if marker.is_file() and json.loads(marker.read_text()) == wanted and _holds(section, artifact):
        return False
    apply(section, artifact)
    materialize(section, artifact)
    marker.write_text(json.dumps(wanted, indent=1))
    return True


def apply(section: FeatureStoreConfig, artifact: Artifact) -> list[str]:
    """Register the entities and views of the artifact, drop other views of the project, and create the online tables.

    Returns:
        The names of the feature views.
    """
    store = open_store(section)
    objects = feast_objects(artifact.path.resolve(), store.repo_path, store.project)
    stale = [view for view in store.list_feature_views() if view.name not in objects]
    store.apply(list(objects.values()), objects_to_delete=list(stale), partial=False)
    _use_write_ahead_log(section)
    _write_yaml(section)
    return [name for name in objects if name in {view.name for view in store.list_feature_views()}]


def materialize(section: FeatureStoreConfig, artifact: Artifact) -> dict[str, int]:
    """Write the rows of the artifact to the online store, in Feast's format, a row group at a time.

    Feast's ``materialize`` holds a whole table in memory and sorts it; here every key occurs once, so no sort is
    needed. A newer row in the store (a pushed history) is kept, as in Feast's Redis store.

    Returns:
        View -> rows written.

    Raises:
        FeatureStoreError: if a view has not been applied.
    """
    store = open_store(section)
    spec = FeatureSpec.load(artifact.path)
    end = datetime.now(UTC)
    written = {}
    for view in spec.views:
        target = _feature_view(store, view.name)
        written[view.name] = 0
        for rows in _rows(artifact.path, view, target):
            with _single_writer(store):
                written[view.name] += _write(store, target, rows)
        store.registry.apply_materialization(target, store.project, EPOCH, end)
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
        FeatureStoreError: if ids or times do not fit the feature view of this pipeline.
    """
    import pandas as pd

    store = open_store(section)
    view = _feature_view(store, "user_history")
    user, *items = _typed(view, user_id, item_ids)
    seconds = _seconds(view, len(items), times)
    with _single_writer(store):
        last, stored = _stored_lists(store, view, user)
        fresh = {"history_ids": items, **seconds}
        lists = {
            **stored,
            **{name: (new[::-1] + stored[name])[: int(view.tags["seen"])] for name, new in fresh.items()},
        }
        # Feast's Redis store keeps whole seconds and ignores a row that is not newer than the stored one.
        now = max(datetime.now(UTC), last + timedelta(seconds=1))
        row = {"user_id": [user], **{name: [ids] for name, ids in lists.items()}, "event_timestamp": [now]}
        store.push(PUSH_SOURCE, pd.DataFrame(row))
    return lists["history_ids"]


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


def online_settings(section: FeatureStoreConfig) -> dict[str, str]:
    """Feast's ``online_store`` settings."""
    if section.online == "redis":
        return {"type": "redis", "connection_string": section.redis}
    return {"type": "sqlite", "path": str(ONLINE_FILE)}


def _project(section: FeatureStoreConfig) -> str:
    if section.project is None:
        raise ConfigError("feature_store.project: expected a name, is not set")
    return section.project


def _data(section: FeatureStoreConfig) -> Path:
    folder = Path(section.repo) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _holds(section: FeatureStoreConfig, artifact: Artifact) -> bool:
    """Whether the online store knows a user of the artifact; the marker file may outlive the store."""
    import pyarrow.parquet as pq

    wanted = FeatureQuery(_project(section), "user_id", {"user_history": ["history_ids"]})
    head = next(pq.ParquetFile(artifact.path / "user_history.parquet").iter_batches(1, columns=["user_id"]), None)
    try:
        reader = open_reader(wanted, Path(section.repo), section.online, section.redis)
        return head is None or any(reader.read(head.column("user_id").to_pylist()).known)
    except FeatureStoreError:
        return False


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


def _rows(folder: Path, view: View, target: FeatureView) -> Iterator[list[Any]]:
    """Feast's rows (entity key, values, time, None) for each row group of the view's file."""
    import pyarrow.parquet as pq
    from feast.utils import _convert_arrow_to_proto

    join_keys = {column.name: column.dtype.to_value_type() for column in target.entity_columns}
    for batch in pq.ParquetFile(folder / view.file).iter_batches(ROW_GROUP):
        yield _convert_arrow_to_proto(batch, target, join_keys)


def _write(store: FeatureStore, view: FeatureView, rows: list[Any]) -> int:
    from feast.utils import make_tzaware

    provider = store._get_provider()
    if view.stream_source is not None:
        stored = provider.online_read(store.config, view, [row[0] for row in rows])
        pairs = zip(rows, (make_tzaware(time or EPOCH) for time, _ in stored), strict=True)
        rows = [row for row, time in pairs if time <= make_tzaware(row[2])]
    if store.config.online_store.type == "redis":
        _delete_times(store, view, rows)
    provider.online_write_batch(store.config, view, rows, None)
    return len(rows)


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


def _delete_times(store: FeatureStore, view: FeatureView, rows: list[Any]) -> None:
    """Delete the stored times, so that Feast's Redis store accepts rows of the same time, whose values may differ."""
    from feast.infra.online_stores.helpers import _redis_key

    client = store._get_provider().online_store._get_client(store.config.online_store)
    version = store.config.entity_key_serialization_version
    with client.pipeline(transaction=False) as pipe:
        for key, *_ in rows:
            pipe.hdel(_redis_key(store.project, key, version), f"_ts:{view.name}")
        pipe.execute()


def _stored_lists(store: FeatureStore, view: FeatureView, user: int | str) -> tuple[datetime, dict[str, list[Any]]]:
    """The time and the lists of the user's row; the epoch and empty lists for a new user."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
    from feast.utils import make_tzaware

    kind = view.entity_columns[0].dtype.to_value_type()
    key = EntityKey(join_keys=["user_id"], entity_values=python_values_to_proto_values([user], kind))
    [(time, values)] = store._get_provider().online_read(store.config, view, [key])
    found = {name: feast_value_type_to_python_type(value) for name, value in (values or {}).items()}
    lists = {feature.name: list(found.get(feature.name) or []) for feature in view.features}
    return make_tzaware(time) if time else EPOCH, lists


def _seconds(view: FeatureView, count: int, times: Sequence[int] | None) -> dict[str, list[int]]:
    """``history_times`` of ``count`` new events, the oldest first; empty for a view without times."""
    if "clock" not in view.tags:
        if times is not None:
            raise FeatureStoreError(
                "push: this pipeline stores no times of a history; leave them out, or set history.gaps"
            )
        return {}
    if times is None:
        if view.tags["clock"] != str(True):
            raise FeatureStoreError(
                "push: history.gaps needs the time of each event, and this log's timestamps do not come from a clock"
            )
        times = [int(datetime.now(UTC).timestamp())] * count
    if len(times) != count:
        raise FeatureStoreError(f"push: {count} items and {len(times)} times, expected a time for each item")
    unit = time_unit(max(times, default=0))
    return {"history_times": to_seconds(np.array(times, np.int64), unit).tolist()}


def _typed(view: FeatureView, user_id: int | str, item_ids: Sequence[int | str]) -> list[Any]:
    """The user id and the item ids in the types of the view's columns; the command line passes strings."""
    kinds = [view.entity_columns[0].dtype, *[view.features[0].dtype.base_type] * len(item_ids)]
    try:
        return [int(v) if str(k) == "Int64" else str(v) for k, v in zip(kinds, [user_id, *item_ids], strict=True)]
    except ValueError as error:
        raise FeatureStoreError(f"push: ids are integers in this pipeline: {error}") from None
