"""Stage ``features``: write the offline tables of the feature store, and publish them to the online store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.artifact import Artifact
from ...core.stage import Sections, Stage
from ..config import FeatureStoreConfig, HistoryConfig, SchemaConfig
from ..tables.timestamps import is_clock, time_range, time_unit
from .spec import feature_spec
from .store import publish
from .tables import write_entities, write_history


def _fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> Mapping[str, Any]:
    history, schema = sections["history"], sections["schema"]
    assert isinstance(history, HistoryConfig) and isinstance(schema, SchemaConfig)
    data = parents["data"].path
    tables = json.loads((data / "tables.json").read_text())
    parts = sorted((data / "interactions").glob("*.parquet"))
    first, last = time_range(parts)
    unit = time_unit(last)
    spec = feature_spec(tables["columns"], history.seen, is_clock(last) if history.gaps else None, schema.vectors)
    rows = {}
    for view, source in ((spec.view("user_profile"), "users"), (spec.view("item_features"), "items")):
        if view is not None:
            kinds = {view.key: spec.keys[view.key], **view.columns}
            rows[view.name] = write_entities(
                data / f"{source}.parquet", folder / view.file, view.key, kinds, first * unit
            )
    explicit = not tables["has_label"]
    written = write_history(
        parts, folder / "user_history.parquet", spec.keys, history.seen, unit, explicit, times=history.gaps
    )
    spec.save(folder)
    return {**rows, "user_history": written.pop("users"), **written}


def _publish(artifact: Artifact, sections: Sections) -> None:
    section = sections["feature_store"]
    assert isinstance(section, FeatureStoreConfig)
    publish(section, artifact)


FEATURES = Stage(
    name="features",
    help="Write the feature store's tables and bring them into the live store.",
    sections=("schema", "history", "feature_store"),
    parents=("data",),
    fill=_fill,
    version=2,
    publish=_publish,
)
