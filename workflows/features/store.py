"""The online feature store: apply, materialize and push, through Feast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.artifact import Artifact
from ...core.files import locked
from ..config import FeatureStoreConfig
from .connection import (
    check_single_server,
    data_folder,
    feature_view,
    open_store,
    open_writer,
    reaching,
    single_writer,
    use_write_ahead_log,
    write_yaml,
)
from .definitions import feast_objects
from .online_writer import EPOCH, Row, key_of
from .publication import HISTORY, Publication, items_of, remove_without
from .published import forget_published, holds, note_published
from .push import pushed_row, seconds_of, typed_ids
from .readers import StoreReader, superset
from .redis_writer import RedisWriter
from .spec import PROFILE, FeatureSpec, View
from .tables import EVENT_TIME, ROW_GROUP
from .values import set_value

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView


def publish(section: FeatureStoreConfig, artifact: Artifact, readers: Sequence[StoreReader] = ()) -> bool:
    """Apply and materialize ``artifact``, unless the store holds it already.

    Args:
        readers: what the releases read that may answer at any moment. Columns of users that the artifact lacks stay for
            them, with their last values.

    Returns:
        Whether anything was written.

    Raises:
        ConfigError: if the section names no project.
        ReleaseError: if one of ``readers`` reads something in another type than the artifact has it; then nothing is
            changed.
    """
    if holds(section, artifact):
        return False
    apply(section, artifact, readers)
    materialize(section, artifact, readers)
    return True


def apply(section: FeatureStoreConfig, artifact: Artifact, readers: Sequence[StoreReader] = ()) -> list[str]:
    """Register the entities and views of the artifact, drop other views of the project, and create the online tables.

    Args:
        readers: see `publish`.

    Returns:
        The names of the feature views.

    Raises:
        ConfigError: if Redis is a node of a Redis Cluster, or a Sentinel.
        FeatureStoreError: if Redis does not answer, or a file of the store is damaged.
        ReleaseError: see `publish`.
    """
    spec = superset(FeatureSpec.load(artifact.path), readers)
    check_single_server(section)
    with reaching(section):
        forget_published(section)  # before the first change: a run that is killed must not find it "up to date"
        store = open_store(section)
        objects = _objects(store, artifact, spec)
        stale = [view for view in store.list_feature_views() if view.name not in objects]
        store.apply(list(objects.values()), objects_to_delete=list(stale), partial=False)
        if section.online == "redis":
            _delete_views(store, stale)
        use_write_ahead_log(section)
        write_yaml(section)
        return [name for name in objects if name in {view.name for view in store.list_feature_views()}]


def definitions(section: FeatureStoreConfig, artifact: Artifact, readers: Sequence[StoreReader] = ()) -> dict[str, Any]:
    """The Feast objects by name that `apply` registers, for Feast's own ``apply``; arguments and errors as there."""
    return _objects(open_store(section), artifact, superset(FeatureSpec.load(artifact.path), readers))


def materialize(section: FeatureStoreConfig, artifact: Artifact, readers: Sequence[StoreReader] = ()) -> dict[str, int]:
    """Make the online store equal to the artifact, in Feast's format, a row group at a time.

    Rows that the artifact lacks are deleted, and its values win whatever times are stored. Events that were pushed
    after the artifact's cut stay, in front of the artifact's history. If it is killed, `publish` begins anew.

    Feast's ``materialize`` holds a whole table in memory and sorts it; here every key occurs once, so no sort is
    needed.

    Args:
        readers: see `publish`.

    Returns:
        View -> rows written.

    Raises:
        FeatureStoreError: if a view has not been applied, Redis is not reached, or a file of the store is damaged.
        ReleaseError: see `publish`.
    """
    spec = FeatureSpec.load(artifact.path)
    whole = superset(spec, readers)
    columns = {view.name: view.columns for view in whole.views}
    cut = datetime.fromisoformat(artifact.metrics["cut"])
    with reaching(section):
        store = open_store(section)
        # Histories first: while an empty store is filled, they matter more to an answer than profiles.
        ordered = sorted(spec.views, key=lambda view: view.name != HISTORY)
        views = [(view, feature_view(store, view.name)) for view in ordered]
    written = {}
    with locked(data_folder(section) / f"{store.project}.publishing"), reaching(section):
        before = forget_published(section)
        end = datetime.now(UTC)
        for view, target in views:
            writer = open_writer(store, target, [name for name in columns[view.name] if name not in view.columns])
            publication = Publication(target, writer, lambda: single_writer(store), cut, spec.seen, writer.begin())
            written[view.name] = sum(
                publication.write(rows) for rows in _rows(artifact.path, view, spec.keys[view.key])
            )
            publication.remove_others()
            store.registry.apply_materialization(target, store.project, EPOCH, end)
        if columns.keys() > {view.name for view in spec.views}:
            _remove_profiles(store)
        if section.online == "redis" and before is not None:
            _delete_columns(store, before, whole)
        note_published(section, artifact, whole)
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
        FeatureStoreError: if ids or times do not fit the feature view of this pipeline, Redis is not reached, or a file
            of the store is damaged.
    """
    with reaching(section):
        store = open_store(section)
        view = feature_view(store, "user_history")
        user, *items = typed_ids(view, user_id, item_ids)
        seconds = seconds_of(view, len(items), times)
        writer, key = open_writer(store, view), _entity_key(view, user)
    with reaching(section), single_writer(store):
        [marks] = writer.marks([key_of(key)])
        [(_, values)] = store._get_provider().online_read(store.config, view, [key])
        row = pushed_row(view, key, marks, values, items, seconds)
        writer.write([row], marks.publication or row.time)
    return items_of(row.values["history_ids"])


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


def _objects(store: FeatureStore, artifact: Artifact, spec: FeatureSpec) -> dict[str, Any]:
    """The Feast objects of the artifact by name, and the views of ``spec`` that it lacks as they are registered."""
    objects = feast_objects(artifact.path.resolve(), store.repo_path, store.project)
    lacking = (view for view in store.list_feature_views() if view.name not in objects and spec.view(view.name))
    return {**objects, **{view.name: view for view in lacking}}


def _remove_profiles(store: FeatureStore) -> None:
    """Delete the profiles of users without a history; the new data has no profiles, and older releases read them."""
    for profile in (view for view in store.list_feature_views() if view.name == PROFILE):
        history = open_writer(store, feature_view(store, HISTORY))
        remove_without(open_writer(store, profile), history, lambda: single_writer(store))


def _delete_columns(store: FeatureStore, before: FeatureSpec, spec: FeatureSpec) -> None:
    """Delete the columns from Redis that were published and are no more."""
    for old in before.views:
        new = spec.view(old.name)
        gone = [name for name in old.columns if new is not None and name not in new.columns]
        if gone:
            writer = open_writer(store, feature_view(store, old.name))
            assert isinstance(writer, RedisWriter)
            writer.drop(gone)


def _delete_views(store: FeatureStore, views: Sequence[FeatureView]) -> None:
    """Delete all rows of views that are no more."""
    for view in views:
        writer = open_writer(store, view)
        for keys in writer.others(None):
            with single_writer(store):
                writer.delete(keys)


def _entity_key(view: FeatureView, user: int | str) -> Any:
    """Feast's ``EntityKey`` message of a user."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.type_map import python_values_to_proto_values

    kind = view.entity_columns[0].dtype.to_value_type()
    return EntityKey(join_keys=["user_id"], entity_values=python_values_to_proto_values([user], kind))
