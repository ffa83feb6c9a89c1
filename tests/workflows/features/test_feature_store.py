"""Apply, materialize and push on sqlite."""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from cascade.core.artifact import Artifact
from cascade.core.errors import ConfigError, FeatureStoreError
from cascade.core.section import stored
from cascade.core.stage import Stage
from cascade.pipeline.run_record import RunRecord
from cascade.testing.feature_data import data_artifact
from cascade.workflows.config import FeatureStoreConfig, HistoryConfig, SchemaConfig
from cascade.workflows.features import store as feature_store
from cascade.workflows.features.connection import feast_settings, online_settings, write_yaml
from cascade.workflows.features.stage import FEATURES

INTERACTIONS = {"user_id": [1, 1, 2], "item_id": [10, 11, 10], "timestamp": [800_000_000, 800_000_001, 800_000_000]}
IDS = {"user_id": "int", "item_id": "int"}

Make = Callable[..., Artifact]


@pytest.fixture
def section(tmp_path: Path) -> FeatureStoreConfig:
    return FeatureStoreConfig(repo=str(tmp_path / "repo"), project="shop")


@pytest.fixture
def make(tmp_path: Path, section: FeatureStoreConfig) -> Make:
    """Makes a features artifact; without ``ages`` the users table has only ids."""

    def build(
        ages: list[int | None] | None = None,
        name: str = "data",
        items: list[int] | None = None,
        positive: tuple[bool, ...] = (True, True, True),
        timestamps: list[int] | None = None,
        gaps: bool = False,
    ) -> Artifact:
        kinds = {"interactions": {**IDS, "timestamp": "int"}, "users": {"user_id": "int"}, "items": {"item_id": "int"}}
        users: dict[str, list[Any]] = {"user_id": [1, 2]}
        if ages is not None:
            kinds["users"]["age"], users["age"] = "int", ages
        rows = {**INTERACTIONS, "split": ["train"] * 3, "positive": positive, **({"item_id": items} if items else {})}
        rows |= {"timestamp": timestamps} if timestamps else {}
        data = data_artifact(tmp_path / name, kinds, rows, users, {"item_id": [10, 11]})
        sections = {
            "schema": SchemaConfig(sparse=list(IDS)),
            "history": HistoryConfig(length=1, seen=3, gaps=gaps),
            "feature_store": section,
        }
        return FEATURES.run(tmp_path / "runs", sections, {"data": data})

    return build


def online(section: FeatureStoreConfig, user: int, feature: str = "user_history:history_ids") -> Any:
    got = feature_store.open_store(section).get_online_features([feature], [{"user_id": user}]).to_dict()
    return got[feature.partition(":")[2]][0]


def table(section: FeatureStoreConfig, name: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(Path(section.repo) / "data" / "online_store.db") as connection:
        query = f"SELECT entity_key, feature_name, value, event_ts FROM {name} ORDER BY 1, 2"
        return connection.execute(query).fetchall()


def test_publish_writes_once(section: FeatureStoreConfig, make: Make) -> None:
    artifact = make([30, None])
    assert feature_store.publish(section, artifact) is True
    assert online(section, 1) == [11, 10]
    assert [online(section, user, "user_profile:age") for user in (1, 2, 3)] == [30, None, None]
    assert feature_store.publish(section, artifact) is False


def test_publish_restores_a_lost_store(section: FeatureStoreConfig, make: Make) -> None:
    artifact = make([30, None])
    feature_store.publish(section, artifact)
    (Path(section.repo) / "data" / "online_store.db").unlink()
    assert feature_store.publish(section, artifact) is True
    assert online(section, 2) == [10]


def test_a_new_artifact_replaces_values_of_the_same_time(section: FeatureStoreConfig, make: Make) -> None:
    feature_store.publish(section, make([30, 31]))
    assert feature_store.publish(section, make([40, 41], name="newer", items=[11, 10, 11])) is True
    assert (online(section, 2, "user_profile:age"), online(section, 1)) == (41, [10, 11])


def test_a_view_without_columns_is_dropped(section: FeatureStoreConfig, make: Make) -> None:
    assert feature_store.apply(section, make([30, 31])) == ["user_profile", "user_history"]
    assert feature_store.apply(section, make(None, name="keys")) == ["user_history"]


def test_two_projects_share_a_repository(section: FeatureStoreConfig, make: Make) -> None:
    other = section.model_copy(update={"project": "other"})
    feature_store.publish(section, make([30, 31]))
    feature_store.publish(other, make([30, 31], name="other", items=[11, 11, 11]))
    assert online(section, 1) == [11, 10]
    assert online(other, 1) == [11, 11]


def test_materialize_writes_what_feasts_own_does(section: FeatureStoreConfig, make: Make) -> None:
    artifact = make([30, None])
    feature_store.apply(section, artifact)
    assert feature_store.materialize(section, artifact) == {"user_profile": 2, "user_history": 2}
    names = ("shop_user_profile", "shop_user_history")
    ours = [table(section, name) for name in names]
    with sqlite3.connect(Path(section.repo) / "data" / "online_store.db") as connection:
        for name in names:
            connection.execute(f"DELETE FROM {name}")
    feature_store.open_store(section).materialize(feature_store.EPOCH, datetime.now(UTC))
    assert [table(section, name) for name in names] == ours
    assert (len(ours[0]), len(ours[1])) == (2, 4), "users times features"


def test_serving_reads_while_rows_are_written(section: FeatureStoreConfig, make: Make) -> None:
    feature_store.publish(section, make([30, 31]))
    file = Path(section.repo) / "data" / "online_store.db"
    with sqlite3.connect(file) as writer, sqlite3.connect(file, timeout=0) as reader:
        writer.execute("BEGIN EXCLUSIVE")
        assert reader.execute("SELECT count(*) FROM shop_user_history").fetchone() == (4,)


def test_push_puts_events_in_front_and_keeps_the_last(section: FeatureStoreConfig, make: Make) -> None:
    feature_store.publish(section, make([30, 31]))
    assert feature_store.push_history(section, 1, [12]) == [12, 11, 10]
    assert feature_store.push_history(section, "1", ["13", "14"]) == [14, 13, 12]
    assert online(section, 1) == [14, 13, 12]
    assert feature_store.push_history(section, 99, [10]) == [10]
    assert online(section, 99) == [10]


def test_push_keeps_what_was_rejected(section: FeatureStoreConfig, make: Make) -> None:
    feature_store.publish(section, make([30, 31], positive=(False, True, False)))
    assert feature_store.push_history(section, 1, [12]) == [12, 11]
    assert feature_store.push_history(section, 2, [11]) == [11]
    rejected = [online(section, user, "user_history:rejected_ids") for user in (1, 2, 3)]
    assert rejected == [[10], [10], None]
    assert feature_store.push_history(section, 3, [10]) == [10]
    assert online(section, 3, "user_history:rejected_ids") == []


def test_push_outlives_a_materialization_of_older_events(section: FeatureStoreConfig, make: Make) -> None:
    artifact = make([30, 31])
    feature_store.publish(section, artifact)
    feature_store.push_history(section, 1, [12])
    assert feature_store.materialize(section, artifact) == {"user_profile": 2, "user_history": 2}
    assert online(section, 1) == [12, 11, 10]


def test_push_refuses_ids_of_another_type(section: FeatureStoreConfig, make: Make) -> None:
    feature_store.publish(section, make([30, 31]))
    with pytest.raises(FeatureStoreError, match="item ids are integers in this pipeline.*'abc'"):
        feature_store.push_history(section, 1, ["abc"])


@pytest.mark.parametrize("odd", ["1_0", "\u0663", " 12", "+12", "1.0", "", str(-(2**63)), str(2**63), "9" * 20])
def test_push_takes_whole_numbers_of_64_bits_as_requests_do(section: FeatureStoreConfig, make: Make, odd: str) -> None:
    feature_store.publish(section, make([30, 31]))
    for side, user, item in (("user", odd, 12), ("item", 1, odd)):
        with pytest.raises(FeatureStoreError, match=f"{side} ids are integers in this pipeline, of 64 bits, got"):
            feature_store.push_history(section, user, [item])
    assert online(section, 1) == [11, 10]


TIMES = "user_history:history_times"


def test_push_keeps_times_beside_the_items(section: FeatureStoreConfig, make: Make) -> None:
    feature_store.publish(section, make(gaps=True))
    assert (online(section, 1), online(section, 1, TIMES)) == ([11, 10], [800_000_001, 800_000_000])
    feature_store.push_history(section, 1, [12, 13], [800_000_005, 800_000_009])
    assert (online(section, 1), online(section, 1, TIMES)) == ([13, 12, 11], [800_000_009, 800_000_005, 800_000_001])
    feature_store.push_history(section, 99, [10], [800_000_009_123])
    assert online(section, 99, TIMES) == [800_000_009], "milliseconds are told by their size"


def test_a_push_without_times_happened_now(section: FeatureStoreConfig, make: Make) -> None:
    feature_store.publish(section, make(gaps=True))
    before = int(datetime.now(UTC).timestamp())
    feature_store.push_history(section, 1, [12, 13])
    newest, older, last = online(section, 1, TIMES)
    assert before <= newest == older <= datetime.now(UTC).timestamp() and last == 800_000_001


def test_without_a_clock_a_push_needs_times(section: FeatureStoreConfig, make: Make) -> None:
    feature_store.publish(section, make(gaps=True, timestamps=[1, 2, 1]))
    with pytest.raises(FeatureStoreError, match="history.gaps needs the time of each event, and this log's timestamps"):
        feature_store.push_history(section, 1, [12])
    feature_store.push_history(section, 1, [12], [7])
    assert (online(section, 1), online(section, 1, TIMES)) == ([12, 11, 10], [7, 2, 1])


def test_push_refuses_times_that_do_not_fit(section: FeatureStoreConfig, make: Make) -> None:
    feature_store.publish(section, make(gaps=True))
    with pytest.raises(FeatureStoreError, match="push: 2 items and 1 times"):
        feature_store.push_history(section, 1, [12, 13], [800_000_005])
    feature_store.publish(section, make(name="without", gaps=False))
    with pytest.raises(FeatureStoreError, match="stores no times of a history; leave them out, or set history.gaps"):
        feature_store.push_history(section, 1, [12], [800_000_005])


def test_a_history_pushed_without_gaps_can_be_continued_with_gaps(section: FeatureStoreConfig, make: Make) -> None:
    feature_store.publish(section, make(gaps=False))
    feature_store.push_history(section, 1, [12])
    feature_store.publish(section, make(name="gaps", gaps=True))
    pushed, *rest = online(section, 1, TIMES)
    assert (online(section, 1), rest) == ([12, 11, 10], [800_000_001, 800_000_000])
    assert abs(pushed - time.time()) < 600
    feature_store.push_history(section, 1, [13], [800_000_005])
    assert (online(section, 1), online(section, 1, TIMES)) == ([13, 12, 11], [800_000_005, pushed, 800_000_001])


def test_push_before_apply_says_what_to_run(section: FeatureStoreConfig) -> None:
    with pytest.raises(FeatureStoreError, match="shop: no feature view user_history; run `cascade features apply`"):
        feature_store.push_history(section, 1, [10])


def test_project_is_needed(section: FeatureStoreConfig) -> None:
    with pytest.raises(ConfigError, match="feature_store.project"):
        feast_settings(FeatureStoreConfig())


def test_settings_as_feast_reads_them(section: FeatureStoreConfig, make: Make) -> None:
    feature_store.apply(section, make([30, 31]))
    written = yaml.safe_load((Path(section.repo) / "data" / "shop.yaml").read_text())
    assert written == feast_settings(section)
    committed = yaml.safe_load((Path(__file__).parents[3] / "feature_repo" / "feature_store.yaml").read_text())
    assert committed == feast_settings(FeatureStoreConfig(project="pipeline"))
    assert json.loads(json.dumps(written)) == written


def test_redis_settings() -> None:
    section = FeatureStoreConfig(project="p", online="redis", redis="cache:6380,db=1")
    connection = {"type": "redis", "connection_string": "cache:6380,db=1"}
    assert online_settings(section) == {**connection, "full_scan_for_deletion": False}


def test_no_file_holds_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "cache:6380,db=1,password=S3cret"
    section = FeatureStoreConfig(project="p", repo=str(tmp_path), online="redis", redis=text)
    assert section.redis_without_password == stored(section)["redis"] == "cache:6380,db=1"
    assert section.model_dump()["redis"] == online_settings(section)["connection_string"] == text
    write_yaml(section)
    written = (tmp_path / "data" / "p.yaml").read_text()
    assert "S3cret" not in written
    monkeypatch.setenv("CASCADE_FEATURE_STORE__REDIS", text)
    assert yaml.safe_load(os.path.expandvars(written)) == feast_settings(section)  # as Feast reads it
    stage = Stage("features", "", ("feature_store",), (), lambda *_: None)
    without = section.model_copy(update={"redis": "cache:6380,db=1"})
    assert stage.key({"feature_store": section}, {}) == stage.key({"feature_store": without}, {})
    record = RunRecord.of(stage, {"feature_store": section}, Artifact(tmp_path, "features", "", {}))
    assert "S3cret" not in repr(record) and "cache:6380,db=1" in repr(record)
