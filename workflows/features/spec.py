"""The feature views of a features artifact and their columns, without Feast."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...core.files import read_json

SPEC = "features.json"
ENTITY_KEYS = {"user": "user_id", "item": "item_id"}
HISTORY_FILE = "user_history.parquet"
PROFILE = "user_profile"
"""The view of the users' columns."""
BEFORE_TEST = "before_test"
"""Folder of the artifact with the history as it was before the test part, for the evaluation. The one that is published
holds all events."""
RESERVED = ("user_id", "item_id", "event_timestamp")


@dataclass(frozen=True)
class View:
    """A feature view: a Parquet file of the artifact with the key of an entity and its features."""

    name: str
    entity: str
    columns: Mapping[str, str] = field(default_factory=dict)
    """Column -> int, float, string, list_int, list_float or list_string."""

    @property
    def file(self) -> str:
        return f"{self.name}.parquet"

    @property
    def key(self) -> str:
        return ENTITY_KEYS[self.entity]


@dataclass(frozen=True)
class FeatureSpec:
    """The feature views, for Feast's definitions and for the op that looks up users."""

    keys: Mapping[str, str]
    """user_id and item_id -> int or string."""
    views: tuple[View, ...]
    seen: int
    """The most item ids in ``history_ids``, and in ``rejected_ids``."""
    clock: bool | None = None
    """With ``history.gaps``: whether the log's timestamps come from a clock, so that a push can default to now."""

    @property
    def times(self) -> bool:
        """Whether ``user_history`` has ``history_times``."""
        return self.clock is not None

    def view(self, name: str) -> View | None:
        """The view of this name; None if its table has no column besides the key."""
        return next((view for view in self.views if view.name == name), None)

    def save(self, folder: Path) -> None:
        (folder / SPEC).write_text(json.dumps(self.to_json(), indent=1))

    @classmethod
    def load(cls, folder: Path) -> FeatureSpec:
        return cls.from_json(read_json(folder / SPEC))

    def to_json(self) -> dict[str, Any]:
        """It as JSON can hold it."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> FeatureSpec:
        """The inverse of `to_json`."""
        return cls(**{**raw, "views": tuple(View(**view) for view in raw["views"])})


def feature_spec(
    tables: Mapping[str, Mapping[str, str]], seen: int, clock: bool | None = None, left_out: Collection[str] = ()
) -> FeatureSpec:
    """The views for the tables of a data artifact.

    A table with only a key gives no view, because a Feast view needs a feature.

    Args:
        tables: table -> column -> kind.
        clock: as in `FeatureSpec`; None for a history without times.
        left_out: columns of items that no view holds: pretrained vectors, which are large, and which requests read
            from the item snapshot of a release.
    """
    keys = {name: tables["interactions"][name] for name in ENTITY_KEYS.values()}
    profile, items = ({k: v for k, v in tables[t].items() if k not in RESERVED} for t in ("users", "items"))
    items = {name: kind for name, kind in items.items() if name not in left_out}
    views = [View(PROFILE, "user", profile), View("item_features", "item", items)]
    ids = f"list_{keys['item_id']}"
    times = {} if clock is None else {"history_times": "list_int"}
    history = View("user_history", "user", {"history_ids": ids, "rejected_ids": ids, **times})
    return FeatureSpec(keys, tuple(view for view in [*views, history] if view.columns), seen, clock)
