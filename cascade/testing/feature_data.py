"""Small data and features artifacts, for tests of the stages that read them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.artifact import Artifact, write_artifact
from ..workflows.config import FeatureStoreConfig, HistoryConfig, SchemaConfig
from ..workflows.features.stage import FEATURES
from ..workflows.tables.canonical import arrow_type
from ..workflows.tables.timestamps import time_unit

Table = Mapping[str, Sequence[Any]]


def data_artifact(
    path: Path, kinds: Mapping[str, Mapping[str, str]], interactions: Table, users: Table, items: Table
) -> Artifact:
    """Write a data artifact to ``path``.

    Args:
        kinds: table -> column -> int, float, string, list_int, list_float or list_string.
        interactions: user_id, item_id, timestamp and split, sorted by user and time. All are positives unless a column
            ``positive`` is given. With a column ``label`` they are an impression log.
    """

    def fill(folder: Path) -> None:
        positive = [True] * len(interactions["user_id"])
        tables: Mapping[str, Table] = {
            "interactions": {"positive": positive, **interactions},
            "users": users,
            "items": items,
        }
        for name, columns in tables.items():
            inside = name == "interactions"
            write_table(folder / (f"{name}/part-00000" if inside else name), columns, kinds[name])
        facts = {"has_label": "label" in kinds["interactions"], "time_unit": time_unit(max(interactions["timestamp"]))}
        (folder / "tables.json").write_text(json.dumps({"columns": kinds, **facts}))

    return write_artifact(path, "data", {}, fill)


def write_table(file: Path, columns: Table, kinds: Mapping[str, str]) -> None:
    """Write ``file``.parquet. Columns without a kind are strings, except ``positive``, which is a bool."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    types = {"positive": pa.bool_(), **{name: arrow_type(kind) for name, kind in kinds.items()}}
    arrays = {name: pa.array(values, types.get(name, pa.string())) for name, values in columns.items()}
    pq.write_table(pa.table(arrays), file.with_name(f"{file.name}.parquet"))


def shop_features(
    folder: Path, section: FeatureStoreConfig, ids: str = "int", seen: int = 5, gaps: bool = False
) -> Artifact:
    """A features artifact of 20 users and 9 items, with nulls in every column.

    User u has interacted with u % 8 + 1 items: u % 9 and the next ones (0 follows 8), one every 10 s from 0 s on.
    Interactions with the items 7 and 8 are no positives. The interaction of user 0 is in the test part, so that only
    the history that is published has it.

    Args:
        section: where the features are published.
        ids: "int" (0, 1, ...) or "string" ("0", "1", ...).
        seen: items that are kept for each user.
        gaps: keep the times of the interactions as well.
    """
    kinds = {
        "interactions": {"user_id": ids, "item_id": ids, "timestamp": "int"},
        "users": {"user_id": ids, "age": "int", "city": "string", "income": "float", "tags": "list_string"},
        "items": {"item_id": ids, "price": "float"},
    }
    convert = str if ids == "string" else int
    users = sorted(convert(n) for n in range(20))
    rows = [(user, convert((int(user) + at) % 9), 10 * at) for user in users for at in range(int(user) % 8 + 1)]
    interactions = dict(zip(("user_id", "item_id", "timestamp"), zip(*rows, strict=True), strict=True))
    split = ["test" if int(user) == 0 else "train" for user, _, _ in rows]
    positive = [int(item) < 7 for _, item, _ in rows]
    profile: Table = {
        "user_id": users,
        "age": [None if int(u) % 3 == 0 else 2**53 + int(u) for u in users],
        "city": [None if int(u) % 4 == 0 else f"c{u}" for u in users],
        "income": [None if int(u) % 5 == 0 else int(u) / 3 for u in users],
        "tags": [None if int(u) % 7 == 0 else ["t"] * (int(u) % 4) for u in users],
    }
    items: Table = {"item_id": sorted(convert(n) for n in range(9)), "price": [None, *range(8)]}
    events: Table = {**interactions, "split": split, "positive": positive}
    data = data_artifact(folder / "data", kinds, events, profile, items)
    sections = {
        "schema": SchemaConfig(sparse=["user_id", "item_id"]),
        "history": HistoryConfig(length=1, seen=seen, gaps=gaps),
        "feature_store": section,
    }
    return FEATURES.run(folder / "runs", sections, {"data": data})
