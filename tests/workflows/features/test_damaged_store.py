"""Files of the feature store that are damaged: an error names the file and what to do, and doing it heals the store."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cascade.core.artifact import Artifact
from cascade.core.errors import FeatureStoreError
from cascade.testing.feature_data import data_artifact
from cascade.workflows.config import FeatureStoreConfig, HistoryConfig, SchemaConfig
from cascade.workflows.features import store as feature_store
from cascade.workflows.features.online import FeatureQuery, open_reader
from cascade.workflows.features.stage import FEATURES

USERS = 400
"""Enough for a store of several pages."""
QUERY = FeatureQuery("shop", "user_id", {"user_history": ["history_ids"]})
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda raw: b"",
    "a quarter": lambda raw: raw[: len(raw) // 4],
    "all but the end": lambda raw: raw[:-7],
    "a few bytes": lambda raw: raw[:90],
    "zeros": lambda raw: bytes(len(raw)),
    "a text": lambda raw: b"version https://git-lfs.github.com/spec/v1\n" * 99,
    "other bytes": lambda raw: random.Random(0).randbytes(len(raw)),
    "other bytes behind the head": lambda raw: raw[:4096] + random.Random(1).randbytes(max(0, len(raw) - 4096)),
}
SURE = ("a quarter", "a few bytes", "zeros", "a text", "other bytes")
"""Damages that every command must notice that opens the file."""
COMMANDS: dict[str, Callable[[FeatureStoreConfig, Artifact], Any]] = {
    "publish": feature_store.publish,
    "apply": feature_store.apply,
    "materialize": feature_store.materialize,
    "push": lambda section, artifact: feature_store.push_history(section, 1, [2]),
    "read": lambda section, artifact: open_reader(QUERY, Path(section.repo), "sqlite", "").read([1, USERS]),
}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("features")
    kinds = {"user_id": "int", "item_id": "int"}
    users = list(range(1, USERS + 1))
    rows = {"user_id": users, "item_id": [1, 2] * (USERS // 2), "timestamp": [1_700_000_000] * USERS}
    data = data_artifact(
        folder / "data",
        {"interactions": {**kinds, "timestamp": "int"}, "users": {"user_id": "int"}, "items": {"item_id": "int"}},
        {**rows, "split": ["train"] * USERS},
        {"user_id": users},
        {"item_id": [1, 2]},
    )
    sections = {
        "schema": SchemaConfig(sparse=list(kinds)),
        "history": HistoryConfig(length=1, seen=3),
        "feature_store": FeatureStoreConfig(project="any"),
    }
    return FEATURES.run(folder / "runs", sections, {"data": data})


@pytest.fixture(scope="module")
def whole(artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a store that is as it should be."""
    section = FeatureStoreConfig(repo=str(tmp_path_factory.mktemp("whole")), project="shop")
    feature_store.publish(section, artifact)
    data = Path(section.repo) / "data"
    with closing(sqlite3.connect(data / "online_store.db")) as connection:  # what is in the log goes into the file
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return {file.name: file.read_bytes() for file in data.iterdir() if not file.name.endswith(("-wal", "-shm"))}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["registry.db", "online_store.db"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_with_the_way_out(
    tmp_path: Path, artifact: Artifact, whole: dict[str, bytes], damage: str, name: str, command: str
) -> None:
    section, data = FeatureStoreConfig(repo=str(tmp_path), project="shop"), tmp_path / "data"
    data.mkdir()
    for file, raw in whole.items():
        (data / file).write_bytes(DAMAGES[damage](raw) if file == name else raw)
    try:
        COMMANDS[command](section, artifact)
        # a publication finds that the store holds all, and readers do without the registry
        assert damage not in SURE or (name == "registry.db" and command in ("publish", "read"))
    except FeatureStoreError as error:
        if "no feature view" not in str(error) and not str(error).startswith("online store: "):
            assert str(error).startswith(f"{data / name}: ")
        if "is damaged" in str(error):
            for file in data.glob(f"{name}*"):
                file.unlink()
        if not str(error).startswith("online store: "):
            assert "`cascade features " in str(error)
            feature_store.apply(section, artifact)
            feature_store.materialize(section, artifact)
            assert COMMANDS["read"](section, artifact).known == [True, True]
