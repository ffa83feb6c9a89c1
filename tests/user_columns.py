"""Shops whose users have any columns, published one after the other, and the releases that read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cascade.core.artifact import Artifact
from cascade.ensemble.graph.ops import LookupUser
from cascade.ensemble.graph.ops.lookup_user import REPO_VARIABLE
from cascade.ensemble.repository.user_lookup import user_lookup
from cascade.rollout.releases.live_readers import reader_of
from cascade.testing.feature_data import data_artifact
from cascade.workflows.config import FeatureStoreConfig, HistoryConfig, SchemaConfig
from cascade.workflows.features.readers import StoreReader
from cascade.workflows.features.stage import FEATURES

CONVERT = {"int": int, "string": str, "float": float}


@dataclass(frozen=True)
class Shop:
    """Makes features artifacts; user u has had the items 10 and 10 + u."""

    folder: Path
    section: FeatureStoreConfig
    numbers: Any = field(default_factory=count)

    def features(
        self,
        columns: Mapping[str, str],
        users: Iterable[int] = (1, 2),
        *,
        plus: int = 0,
        ids: tuple[str, str] = ("int", "int"),
        seen: int = 3,
        gaps: bool = False,
    ) -> Artifact:
        """The artifact of users with ``columns``: name -> kind.

        Args:
            plus: user u has the value 10 * u + plus in each column.
            ids: kinds of user and item ids.
        """
        user, item = (CONVERT[kind] for kind in ids)
        rows = [(user(u), item(i), 800_000_000 + at) for u in users for at, i in enumerate((10, 10 + u))]
        kinds = {"user_id": ids[0], "item_id": ids[1]}
        values = {name: [CONVERT[kind](10 * u + plus) for u in users] for name, kind in columns.items()}
        folder = self.folder / f"made{next(self.numbers)}"
        data = data_artifact(
            folder / "data",
            {
                "interactions": {**kinds, "timestamp": "int"},
                "users": {"user_id": ids[0], **columns},
                "items": {"item_id": ids[1]},
            },
            {
                **dict(zip((*kinds, "timestamp"), map(list, zip(*rows, strict=True)), strict=True)),
                "split": ["train"] * len(rows),
            },
            {"user_id": [user(u) for u in users], **values},
            {"item_id": sorted({row[1] for row in rows})},
        )
        sections = {
            "schema": SchemaConfig(sparse=["user_id", "item_id"]),
            "history": HistoryConfig(length=1, seen=seen, gaps=gaps),
            "feature_store": self.section,
        }
        return FEATURES.run(folder / "runs", sections, {"data": data})

    def lookup(self, features: Artifact, columns: Iterable[str] | None = None, times: int = 0) -> LookupUser:
        """The step of a release that was made with these features and reads ``columns``, by default all."""
        return user_lookup(features.path, self.section, None if columns is None else list(columns), times)

    def reader(self, features: Artifact, role: str = "stable", **more: Any) -> StoreReader:
        """What that release reads."""
        return reader_of(self.lookup(features, **more), "9fba", role)


def looked_up(users: LookupUser, section: FeatureStoreConfig, asked: Iterable[int]) -> dict[str, list[Any]]:
    """What a release reads of users now: column -> a value for each, or a list; None where the store has none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(REPO_VARIABLE, section.repo)
        users.load(Path())
    ids = [CONVERT[users.user_kind](user) for user in asked]
    found = users({"user_id": np.array(ids, object if users.user_kind == "string" else np.int64).reshape(-1, 1)})
    nothing = (None, np.iinfo(np.int64).min)
    rows = {name: [[v for v in row if v not in nothing and v == v] for row in found[name].tolist()] for name in found}
    lists = ("history_ids", "rejected_ids", "history_times")
    return {name: column if name in lists else [(row or [None])[0] for row in column] for name, column in rows.items()}
