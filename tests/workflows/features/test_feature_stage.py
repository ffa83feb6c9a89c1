"""The features artifact."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cascade.core.artifact import Artifact
from cascade.testing.feature_data import data_artifact
from cascade.workflows.config import FeatureStoreConfig, HistoryConfig, SchemaConfig
from cascade.workflows.features.spec import FeatureSpec, View, feature_spec
from cascade.workflows.features.stage import FEATURES

KEYS = {"user_id": "string", "item_id": "int"}
KINDS = {
    "interactions": {**KEYS, "timestamp": "int"},
    "users": {"user_id": "string", "age": "int"},
    "items": {"item_id": "int", "title": "string"},
}


def run(folder: Path, seen: int = 1000, label: bool = False, gaps: bool = False) -> Artifact:
    rows = {"user_id": ["u"] * 3, "item_id": [3, 1, 2], "timestamp": [6, 7, 8], "split": ["train", "train", "test"]}
    positive = [False, True, True]
    impressions = {"label": [int(value) for value in positive]} if label else {}
    kinds = {**KINDS, "interactions": {**KINDS["interactions"], **dict.fromkeys(impressions, "int")}}
    data = data_artifact(
        folder / "data",
        kinds,
        {**rows, "positive": positive, **impressions},
        {"user_id": ["u", "v"], "age": [30, None]},
        {"item_id": [1, 2], "title": ["one", "two"]},
    )
    sections = {
        "schema": SchemaConfig(sparse=["user_id", "item_id"]),
        "history": HistoryConfig(length=1, seen=seen, gaps=gaps),
        "feature_store": FeatureStoreConfig(repo=str(folder / "repo"), project="p"),
    }
    return FEATURES.run(folder / "runs", sections, {"data": data})


def test_artifact_holds_the_tables_and_what_they_are(tmp_path: Path) -> None:
    artifact = run(tmp_path, seen=9)
    rows = {"user_profile": 2, "item_features": 2, "user_history": 1}
    assert artifact.metrics.pop("cut") > "2026", "the time of reading, because 6, 7 and 8 come from no clock"
    assert artifact.metrics == {**rows, "history_ids": 2, "rejected_ids": 1}
    assert FeatureSpec.load(artifact.path) == FeatureSpec(
        KEYS,
        (
            View("user_profile", "user", {"age": "int"}),
            View("item_features", "item", {"title": "string"}),
            View("user_history", "user", {"history_ids": "list_int", "rejected_ids": "list_int"}),
        ),
        9,
    )
    profile = pq.read_table(artifact.path / "user_profile.parquet").drop(["event_timestamp"]).to_pylist()
    assert profile == [{"user_id": "u", "age": 30}, {"user_id": "v", "age": None}]


@pytest.mark.parametrize(("label", "rejected"), [(False, [3]), (True, [])])
def test_an_impression_without_a_click_is_not_a_rejection(tmp_path: Path, label: bool, rejected: list[int]) -> None:
    [row] = pq.read_table(run(tmp_path, label=label).path / "user_history.parquet").to_pylist()
    assert (row["history_ids"], row["rejected_ids"]) == ([2, 1], rejected)


def test_the_history_of_the_evaluation_ends_before_the_test_part(tmp_path: Path) -> None:
    folder = run(tmp_path).path
    [published], [before] = (
        pq.read_table(place / "user_history.parquet").to_pylist() for place in (folder, folder / "before_test")
    )
    assert (published["history_ids"], before["history_ids"]) == ([2, 1], [1])
    assert (published["event_timestamp"].second, before["event_timestamp"].second) == (8, 7)


def test_same_input_gives_the_same_digest(tmp_path: Path) -> None:
    assert run(tmp_path / "a").digest == run(tmp_path / "b").digest
    assert run(tmp_path / "c", seen=5).digest != run(tmp_path / "a").digest


def test_times_of_a_history_only_with_gaps(tmp_path: Path) -> None:
    artifact = run(tmp_path, gaps=True)
    spec = FeatureSpec.load(artifact.path)
    assert (spec.times, spec.clock) == (True, False), "timestamps 6, 7, 8 do not come from a clock"
    assert spec.view("user_history") == View(
        "user_history", "user", {"history_ids": "list_int", "rejected_ids": "list_int", "history_times": "list_int"}
    )
    [row] = pq.read_table(artifact.path / "user_history.parquet").to_pylist()
    assert (row["history_ids"], row["history_times"]) == ([2, 1], [8, 7])


def test_a_table_with_only_keys_gives_no_view() -> None:
    spec = feature_spec({**KINDS, "users": {"user_id": "string"}}, seen=3)
    assert [view.name for view in spec.views] == ["item_features", "user_history"]
    assert spec.view("user_profile") is None
