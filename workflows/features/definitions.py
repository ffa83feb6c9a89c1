"""Feast's entities and feature views for a features artifact."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .spec import ENTITY_KEYS, FeatureSpec, View
from .tables import EVENT_TIME

if TYPE_CHECKING:
    from feast import Entity, FeatureView

PUSH_SOURCE = "user_history_push"
NEVER = timedelta(days=36525)
"""Time to live of a century: feature values do not expire. With a ttl of None or 0, Feast's incremental
materialization starts a year ago or fails, so events of the 1990s would be missing."""


def feast_objects(folder: Path, repo: Path, project: str) -> dict[str, Any]:
    """Feast objects by name for the features artifact in ``folder``, with paths relative to ``repo``."""
    from feast import Entity, Project, ValueType

    spec = FeatureSpec.load(folder)
    types = {"int": ValueType.INT64, "string": ValueType.STRING}
    entities = {
        name: Entity(name=name, join_keys=[key], value_type=types[spec.keys[key]]) for name, key in ENTITY_KEYS.items()
    }
    views = {v.name: _view(v, entities[v.entity], spec, Path(os.path.relpath(folder, repo))) for v in spec.views}
    push = views["user_history"].stream_source
    return {"project": Project(name=project), **entities, **views, PUSH_SOURCE: push}


def _view(view: View, entity: Entity, spec: FeatureSpec, folder: Path) -> FeatureView:
    from feast import FeatureView, Field, FileSource, PushSource

    source: FileSource | PushSource = FileSource(
        name=f"{view.name}_source", path=str(folder / view.file), timestamp_field=EVENT_TIME
    )
    if view.name == "user_history":
        source = PushSource(name=PUSH_SOURCE, batch_source=source)
    columns = {view.key: spec.keys[view.key], **view.columns}
    schema = [Field(name=name, dtype=_feast_type(kind)) for name, kind in columns.items()]
    return FeatureView(
        name=view.name,
        entities=[entity],
        schema=schema,
        ttl=NEVER,
        source=source,
        tags=_tags(spec) if view.name == "user_history" else {},
    )


def _tags(spec: FeatureSpec) -> dict[str, str]:
    """Settings that a push reads."""
    return {"seen": str(spec.seen), **({"clock": str(spec.clock)} if spec.times else {})}


def _feast_type(kind: str) -> Any:
    from feast.types import Array, Float64, Int64, String

    scalars = {"int": Int64, "float": Float64, "string": String}
    return Array(scalars[kind.removeprefix("list_")]) if kind.startswith("list_") else scalars[kind]
