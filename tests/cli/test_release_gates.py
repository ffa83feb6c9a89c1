"""``cascade release verify``: what it prints, and its exit code."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cascade.cli import main as cli
from cascade.rollout.releases.live_set import LiveSet, LiveSets
from cascade.rollout.releases.store import ReleaseStore
from cascade.testing.miniature import RELEASE, miniature_repository, seal

OTHER = "fedcba987654"


def invoke(*args: str) -> Any:
    return CliRunner().invoke(cli.app, ["release", *args], catch_exceptions=False)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReleaseStore:
    """A store with a stable release and an equal one; the artifacts that they were made with are gone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text("schema: {sparse: [user_id, item_id]}\nexport: {repository: models}\n")
    store = ReleaseStore(tmp_path / "models", "cascade")
    miniature_repository(tmp_path / "made")
    store.add(tmp_path / "made")
    folder = tmp_path / "other"
    shutil.copytree(tmp_path / "made", folder)
    for file in folder.rglob("*.json"):
        file.write_text(file.read_text().replace(RELEASE.release, OTHER))
    seal(folder)
    store.add(folder)
    LiveSets(store.repository, store.model).change(lambda _: LiveSet(RELEASE.release), actor="test", reason="")
    return store


def test_without_users_verify_is_inconclusive_with_exit_code_3(store) -> None:
    result = invoke("verify", "fed")
    assert result.exit_code == 3
    assert result.output.splitlines()[-1].startswith(f"release {OTHER}: inconclusive (")
    assert result.output.strip().endswith(f"compared with {RELEASE.release}")
    assert "name the folder with --runs" in result.output


def test_a_bad_release_fails_with_exit_code_1_and_its_figures(store) -> None:
    graph = store.folder(OTHER) / "cascade" / "1" / "graph.json"
    graph.write_text("{}")
    seal(store.folder(OTHER))
    result = invoke("verify", "fed", "--json")
    assert result.exit_code == 1
    raw = json.loads(result.output)
    assert (raw["candidate"], raw["live"], raw["state"]) == (OTHER, RELEASE.release, "fail")
    assert [(each["gate"], each["state"]) for each in raw["verdicts"]] == [("digests", "pass"), ("loaded", "fail")]


def test_against_names_the_release_to_compare_with(store) -> None:
    raw = json.loads(invoke("verify", RELEASE.release[:4], "--json", "--against", "fed").output)
    assert (raw["candidate"], raw["live"]) == (RELEASE.release, OTHER)
    alone = json.loads(invoke("verify", RELEASE.release[:4], "--json").output)
    assert alone["live"] is None and "quality" not in [each["gate"] for each in alone["verdicts"]]
