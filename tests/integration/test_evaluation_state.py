"""Evaluation reads users as they were before the test part, whatever the live store holds."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import cascade
from cascade.core.artifact import Artifact
from cascade.evaluation.stage import EVALUATION
from cascade.workflows.features import store as feature_store


@pytest.fixture
def test_part(strings: Any) -> pd.DataFrame:
    """The held-out interactions."""
    table = pd.read_parquet(strings.artifacts["data"].path / "interactions")
    return table[table["split"] == "test"]


@pytest.fixture
def pushed(strings: Any, test_part: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A live store to which every held-out event has been pushed."""
    repo = tmp_path / "feature_repo"
    shutil.copytree(strings.feature_repo, repo)
    section = strings.config.feature_store.model_copy(update={"repo": str(repo)})
    for user, items in test_part.groupby("user_id")["item_id"]:
        feature_store.push_history(section, user, list(items))
    monkeypatch.setenv("CASCADE_FEATURE_REPO", str(repo))
    return repo


def evaluated(strings: Any, runs: Path, **parents: Artifact) -> dict[str, Any]:
    """Metrics of the stage, run anew."""
    sections = {name: strings.config.section(name) for name in EVALUATION.sections}
    return dict(EVALUATION.run(runs, sections, {**strings.artifacts, **parents}).metrics)


def test_pushed_events_do_not_change_the_metrics(strings: Any, pushed: Path, tmp_path: Path) -> None:
    found = evaluated(strings, tmp_path / "runs")
    assert found == strings.metrics
    assert found["funnel"]["filtered"]["count"] == 0


def test_no_store_is_needed(strings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither sqlite's file nor a Redis that is up."""
    monkeypatch.setenv("CASCADE_FEATURE_REPO", str(tmp_path / "nothing"))
    export = tmp_path / "export"
    shutil.copytree(strings.artifacts["export"].path, export)
    for file in export.glob("*/*/graph.json"):
        graph = json.loads(file.read_text())
        graph["nodes"][0]["params"] |= {"online": "redis", "redis": "127.0.0.1:1"}
        file.write_text(json.dumps(graph))
    release = replace(strings.artifacts["export"], path=export)
    assert evaluated(strings, tmp_path / "runs", export=release) == strings.metrics


def test_a_release_is_evaluated_on_its_features_artifact(
    strings: Any, pushed: Path, test_part: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    table = test_part[["user_id", "item_id"]]
    with cascade.open_release(strings.artifacts["export"], feature_repo=strings.feature_repo) as release:
        before = cascade.evaluate(release, table, replicates=100)
    with cascade.open_release(strings.artifacts["export"], feature_repo=pushed) as release:
        assert cascade.evaluate(release, table, replicates=100) == before
    assert before.already_seen == 0 and not caplog.messages


def test_without_the_artifact_it_says_that_the_live_store_is_read(
    strings: Any, pushed: Path, test_part: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    seen = pytest.raises(cascade.errors.DataError, match="are items that the user had seen before")
    with cascade.open_release(strings.model_repository, feature_repo=pushed) as release, seen:
        cascade.evaluate(release, test_part[["user_id", "item_id"]])
    assert "its features artifact is not in runs/features, so users are read from the live feature store" in caplog.text
