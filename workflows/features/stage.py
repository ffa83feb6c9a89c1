"""Stage ``features``: write the offline tables of the feature store, and publish them to the online store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ...core.artifact import Artifact
from ...core.errors import ConfigError, FeatureStoreError
from ...core.files import read_json
from ...core.memory import MemoryNeed
from ...core.stage import Sections, Stage
from ..config import FeatureStoreConfig, HistoryConfig, SchemaConfig
from ..tables.timestamps import is_clock, time_range
from .connection import check_path
from .published import holds
from .spec import BEFORE_TEST, HISTORY_FILE, feature_spec
from .store import publish
from .tables import CHUNK, last_event, write_entities, write_history

EVENT_BYTES = 200
"""Bytes of an interaction while its user's lists are made."""


def _fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> Mapping[str, Any]:
    history, schema = sections["history"], sections["schema"]
    assert isinstance(history, HistoryConfig) and isinstance(schema, SchemaConfig)
    data = parents["data"].path
    tables = read_json(data / "tables.json")
    parts = sorted((data / "interactions").glob("*.parquet"))
    first, last = time_range(parts)
    unit = tables["time_unit"]
    clock = is_clock(last * unit // 1_000_000)
    spec = feature_spec(tables["columns"], history.seen, clock if history.gaps else None, schema.vectors)
    rows = {}
    for view, source in ((spec.view("user_profile"), "users"), (spec.view("item_features"), "items")):
        if view is not None:
            kinds = {view.key: spec.keys[view.key], **view.columns}
            rows[view.name] = write_entities(
                data / f"{source}.parquet", folder / view.file, view.key, kinds, first * unit
            )
    explicit = not tables["has_label"]
    write = partial(write_history, parts, kinds=spec.keys, seen=history.seen, unit=unit, explicit=explicit)
    written = write(folder / HISTORY_FILE, times=history.gaps)
    (folder / BEFORE_TEST).mkdir()
    write(folder / BEFORE_TEST / HISTORY_FILE, times=history.gaps, test_part=False)
    spec.save(folder)
    # when the data stage wrote what it had read; only a clock's timestamps can say that the log ends earlier
    read = min(int(part.stat().st_mtime) for part in parts) if parts else 0
    cut = last_event(folder / HISTORY_FILE, not_after=read) if clock else read
    counts = {**rows, "user_history": written.pop("users"), **written}
    return {**counts, "cut": datetime.fromtimestamp(cut, UTC).isoformat()}


def _memory(sections: Sections, parents: Mapping[str, Artifact]) -> MemoryNeed:
    """A chunk of interactions, and the lists of its users."""
    rows = min(CHUNK, parents["data"].metrics["n_interactions"])
    return MemoryNeed({f"{rows:,} interactions": EVENT_BYTES * rows}, "lower history.seen")


def _check_path(sections: Sections) -> None:
    """What would stop the publication, before anything is computed.

    Raises:
        ConfigError: naming the key and the path.
    """
    section = sections["feature_store"]
    assert isinstance(section, FeatureStoreConfig)
    try:
        check_path(section)
    except FeatureStoreError as error:
        raise ConfigError(str(error)) from None


def _publish(artifact: Artifact, sections: Sections) -> None:
    section = sections["feature_store"]
    assert isinstance(section, FeatureStoreConfig)
    publish(section, artifact)


def _unpublished(artifact: Artifact, sections: Sections) -> list[str]:
    section = sections["feature_store"]
    assert isinstance(section, FeatureStoreConfig)
    return [] if holds(section, artifact) else ["the feature store has other features, or cannot be read"]


FEATURES = Stage(
    name="features",
    help="Write the feature store's tables and bring them into the live store.",
    sections=("schema", "history", "feature_store"),
    parents=("data",),
    fill=_fill,
    memory=_memory,
    version=4,
    publish=_publish,
    unpublished=_unpublished,
    check_inputs=_check_path,
    check=lambda sections, parents: _check_path(sections),
)
