"""Publishing to a real Redis: the store is what the artifact says, and what was pushed since."""

import socket
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from cascade.core.artifact import Artifact
from cascade.core.errors import FeatureStoreError
from cascade.ensemble.repository.user_lookup import user_lookup
from cascade.testing.feature_data import data_artifact, shop_features
from cascade.workflows.config import FeatureStoreConfig, HistoryConfig, SchemaConfig
from cascade.workflows.features import store as feature_store
from cascade.workflows.features.online import FeatureQuery, open_reader
from cascade.workflows.features.publication import Publication
from cascade.workflows.features.stage import FEATURES
from cascade.workflows.features.values import ValueDecoder


def artifact_of(folder: Path, log: dict[str, list[str]], ages: bool = True) -> Artifact:
    """The features artifact of a log: user -> items, oldest first. Pushes now are later than its cut."""
    rows = [(user, item, 1_700_000_000 + at) for user in sorted(log) for at, item in enumerate(log[user])]
    columns = dict(zip(("user_id", "item_id", "timestamp"), map(list, zip(*rows, strict=True)), strict=True))
    ids = {"user_id": "string", "item_id": "string"}
    users: dict[str, Any] = {"user_id": sorted(log), **({"age": [3] * len(log)} if ages else {})}
    data = data_artifact(
        folder / "data",
        {
            "interactions": {**ids, "timestamp": "int"},
            "users": {"user_id": "string", **({"age": "int"} if ages else {})},
            "items": {"item_id": "string"},
        },
        {**columns, "split": ["train"] * len(rows)},
        users,
        {"item_id": sorted({item for _, item, _ in rows})},
    )
    sections = {
        "schema": SchemaConfig(sparse=["user_id", "item_id"]),
        "history": HistoryConfig(length=1, seen=4),
        "feature_store": FeatureStoreConfig(project="any"),
    }
    return FEATURES.run(folder / "runs", sections, {"data": data})


@pytest.fixture
def section(tmp_path: Path, redis_server: str) -> FeatureStoreConfig:
    """A database of its own; project ``shop``."""
    redis.Redis.from_url(f"redis://{redis_server}/7").flushdb()
    return FeatureStoreConfig(repo=str(tmp_path / "repo"), project="shop", online="redis", redis=f"{redis_server},db=7")


def keys_of(section: FeatureStoreConfig) -> dict[bytes, dict[bytes, bytes]]:
    """Every hash in the database."""
    client = redis.Redis.from_url(f"redis://{section.redis.partition(',')[0]}/7")
    return {key: client.hgetall(key) for key in sorted(client.keys()) if client.type(key) == b"hash"}


def stored(section: FeatureStoreConfig) -> dict[str, list[str]]:
    query = FeatureQuery(str(section.project), "user_id", {"user_history": ["history_ids"]})
    users = list("abcdef")
    rows = open_reader(query, Path(section.repo), section.online, section.redis).read(users)
    lists = ValueDecoder().lists(rows.values["history_ids"], "string").tolist()
    return {u: [i for i in ids if i] for u, known, ids in zip(users, rows.known, lists, strict=True) if known}


def test_rows_that_the_artifact_lacks_are_gone_and_pushed_ones_stay(
    section: FeatureStoreConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_store, "ROW_GROUP", 1)
    feature_store.publish(section, artifact_of(tmp_path / "1", {"a": ["1", "2"], "b": ["1"], "c": ["3"], "d": ["3"]}))
    for user in "bde":
        feature_store.push_history(section, user, ["9"])
    second = artifact_of(tmp_path / "2", {"a": ["2"], "b": ["1", "9"], "f": ["4"]})
    feature_store.publish(section, second)
    assert stored(section) == {"a": ["2"], "b": ["9", "1"], "d": ["9"], "e": ["9"], "f": ["4"]}
    assert len(keys_of(section)) == 5
    later = replace(second, metrics={"cut": datetime.now(UTC).isoformat()})
    feature_store.materialize(section, later)
    assert stored(section) == {"a": ["2"], "b": ["9", "1"], "f": ["4"]}
    assert len(keys_of(section)) == 3
    assert not any(b"_pushed:user_history" in fields for fields in keys_of(section).values())


@pytest.mark.parametrize("name", ["myshop", "shop2", "a"])
def test_other_projects_are_not_touched(section: FeatureStoreConfig, tmp_path: Path, name: str) -> None:
    """The name of one ends like ``shop``, and Feast's key is the entity followed by the project."""
    other = section.model_copy(update={"project": name, "repo": str(tmp_path / "other")})
    first = artifact_of(tmp_path / "1", {"a": ["1"], "b": ["2"]})
    feature_store.publish(other, first)
    before = keys_of(section)
    feature_store.publish(section, first)
    feature_store.push_history(section, "amy", ["2"])
    feature_store.publish(section, artifact_of(tmp_path / "2", {"c": ["1"]}, ages=False))
    after = keys_of(section)
    assert {key: after[key] for key in before} == before
    assert len(after) == len(before) + 2, "c, and amy who was pushed"


def test_a_view_that_is_no_more_is_deleted(section: FeatureStoreConfig, tmp_path: Path) -> None:
    feature_store.publish(section, artifact_of(tmp_path / "1", {"a": ["1"], "b": ["2"]}))
    assert all(b"_ts:user_profile" in fields for fields in keys_of(section).values())
    feature_store.publish(section, artifact_of(tmp_path / "2", {"a": ["1"], "b": ["2"]}, ages=False))
    found = keys_of(section).values()
    assert [sorted(name for name in fields if b":" in name) for fields in found] == [
        [b"_own:user_history", b"_ts:user_history"]
    ] * 2
    assert all(len(fields) == 4 for fields in found)


def test_another_machine_has_published_since(section: FeatureStoreConfig, tmp_path: Path) -> None:
    mine, theirs = (artifact_of(tmp_path / name, {"a": [name]}) for name in ("1", "2"))
    elsewhere = section.model_copy(update={"repo": str(tmp_path / "elsewhere")})
    assert feature_store.publish(section, mine) and feature_store.publish(elsewhere, theirs)
    assert stored(section) == {"a": ["2"]}
    assert feature_store.publish(section, mine) is True
    assert stored(section) == {"a": ["1"]}


def test_a_killed_publication_is_finished(
    section: FeatureStoreConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = artifact_of(tmp_path / "1", {"a": ["1"]}), artifact_of(tmp_path / "2", {"b": ["2"]})
    feature_store.publish(section, first)
    with monkeypatch.context() as patch:
        patch.setattr(Publication, "remove_others", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            feature_store.publish(section, second)
    assert feature_store.publish(section, first) is True
    assert stored(section) == {"a": ["1"]}


def test_a_publication_that_is_killed_after_its_first_change_is_finished(
    section: FeatureStoreConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second artifact lacks a view of the first, which is gone when it is killed."""
    first = artifact_of(tmp_path / "1", {"a": ["1"]})
    feature_store.publish(section, first)
    with monkeypatch.context() as patch:
        patch.setattr(feature_store, "write_yaml", lambda section: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            feature_store.publish(section, artifact_of(tmp_path / "2", {"a": ["1"]}, ages=False))
    assert feature_store.publish(section, first) is True
    assert b"_ts:user_profile" in keys_of(section).popitem()[1]


def test_a_damaged_note_of_what_was_published_is_none(section: FeatureStoreConfig, tmp_path: Path) -> None:
    first = artifact_of(tmp_path / "1", {"a": ["1"]})
    assert feature_store.publish(section, first) and not feature_store.publish(section, first)
    for text in ("", "{", "[]"):
        (Path(section.repo) / "data" / f"{section.project}.json").write_text(text)
        assert feature_store.publish(section, first) is True
    assert not feature_store.publish(section, first)


def test_a_store_that_is_down_is_named(section: FeatureStoreConfig, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        down = section.model_copy(update={"redis": f"{address},password=secret"})
        artifact = shop_features(tmp_path, down)
        with pytest.raises(FeatureStoreError, match=f"feature_store.redis: {address}: .*start Redis") as raised:
            feature_store.publish(down, artifact)
    assert "secret" not in str(raised.value)
    assert user_lookup(artifact.path, down).query.views
