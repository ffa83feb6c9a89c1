"""The repository under Feast's own command line, from inside the folder, as any Feast user works."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from feast import FeatureStore

from cascade.config.load import config_with_origins
from cascade.ensemble.repository.user_lookup import user_lookup
from cascade.pipeline.stages import find, run
from cascade.rollout.releases.live_set import LiveSet, LiveSets
from cascade.rollout.releases.store import ReleaseStore
from cascade.testing.feature_data import write_table
from cascade.workflows.data.stage import DATA
from cascade.workflows.features import store as feature_store
from cascade.workflows.features.stage import FEATURES

REPO = Path(__file__).parents[2] / "feature_repo"
PIPELINE = """
schema: { sparse: [user_id, item_id, city] }
data: { source: tables, path: tables }
"""
NOW = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pipeline.yaml and other.yaml, the repository beside them, features made but not published."""
    folder = tmp_path_factory.mktemp("feast")
    (folder / "feature_repo").mkdir()
    for name in ("feature_store.yaml", "definitions.py"):
        shutil.copy(REPO / name, folder / "feature_repo" / name)
    ids = {"user_id": "int", "item_id": "string"}
    rows = {"user_id": [1, 1, 1, 2, 2, 2], "item_id": list("abcabc"), "timestamp": [*range(900_000_000, 900_000_006)]}
    write_table(folder / "tables" / "interactions", rows, {**ids, "timestamp": "int"})
    write_table(folder / "tables" / "users", {"user_id": [1, 2], "city": ["Rome", None]}, {**ids, "city": "string"})
    for name in ("pipeline", "other"):
        (folder / f"{name}.yaml").write_text(PIPELINE)
        config, _ = config_with_origins(folder / f"{name}.yaml")
        run(config, folder / "runs", stages=(DATA, replace(FEATURES, publish=None)))
    return folder


def feast(folder: Path, *arguments: str, check: bool = True, **environment: str) -> str:
    """What ``feast`` prints, run inside the repository."""
    command = [str(Path(sys.executable).with_name("feast")), *arguments]
    done = subprocess.run(
        command, cwd=folder / "feature_repo", env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def online(folder: Path) -> dict[str, list[object]]:
    store = FeatureStore(repo_path=str(folder / "feature_repo"))
    names = ["user_profile:city", "user_history:history_ids", "user_history:rejected_ids"]
    return dict(store.get_online_features(names, [{"user_id": 1}, {"user_id": 2}]).to_dict())


def test_apply_then_materialize_incremental(folder: Path) -> None:
    feast(folder, "apply")
    assert online(folder)["city"] == [None, None]
    feast(folder, "materialize-incremental", NOW)
    got = online(folder)
    assert got["city"] == ["Rome", None]
    assert got["history_ids"] == [["c", "b", "a"], ["c", "b", "a"]]
    assert got["rejected_ids"] == [[], []]


def test_materialize_over_all_time(folder: Path) -> None:
    with sqlite3.connect(folder / "feature_repo" / "data" / "online_store.db") as connection:
        connection.execute("DELETE FROM pipeline_user_profile")
    assert online(folder)["city"] == [None, None]
    feast(folder, "materialize", "1970-01-01T00:00:00", NOW)
    assert online(folder)["city"] == ["Rome", None]


def test_feasts_apply_takes_nothing_from_a_live_release(folder: Path) -> None:
    config, _ = config_with_origins(folder / "pipeline.yaml")
    made = find(config, folder / "runs", "features", stages=(DATA, FEATURES))
    users = user_lookup(made.path, config.feature_store)
    store = ReleaseStore(folder / config.export.repository, config.export.model_name)
    version = store.place / "9fba" / store.model / "1"
    version.mkdir(parents=True)
    LiveSets(store.repository, store.model).change(lambda _: LiveSet("9fba"), actor="test", reason="")
    for kind, refused in (("int", True), ("string", False)):
        params = {**users.params(), "columns": {"city": kind}}
        (version / "graph.json").write_text(json.dumps({"nodes": [{"op": users.kind, "params": params}]}))
        printed = feast(folder, "apply", check=False)
        assert ("reads user_profile.city as int, and the new data has string" in printed) is refused
    assert online(folder)["city"] == ["Rome", None]


def test_another_pipeline_does_not_fall_into_the_default_project(folder: Path) -> None:
    other = {"CASCADE_CONFIG": str(folder / "other.yaml")}
    assert "Project object name should match" in feast(folder, "apply", check=False, **other)
    config, _ = config_with_origins(folder / "other.yaml")
    section = config.feature_store.model_copy(update={"repo": str(folder / "feature_repo")})
    feature_store.apply(section, find(config, folder / "runs", "features", stages=(DATA, FEATURES)))
    feast(folder, "--feature-store-yaml", "data/other.yaml", "materialize-incremental", NOW, **other)
    got = feature_store.open_store(section).get_online_features(["user_profile:city"], [{"user_id": 1}]).to_dict()
    assert got["city"] == ["Rome"]
