"""``cascade release verify`` and what ``promote`` makes of it: texts, exit codes, the audit log."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cascade.cli import main as cli
from cascade.core.artifact import Artifact
from cascade.core.errors import ConfigError
from cascade.rollout.gates.verdict import GateReport, GateVerdict
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


def test_promote_refuses_what_does_not_pass(store) -> None:
    """Without users it is inconclusive, which holds."""
    result = invoke("promote", "fed", "--reason", "newer")
    assert result.exit_code == 3 and "not promoted; --force --reason" in result.output
    assert LiveSets(store.repository, store.model).read().stable == RELEASE.release


def test_promote_with_force_needs_a_reason_and_logs_the_figures(store) -> None:
    with pytest.raises(ConfigError, match="--force: expected --reason"):
        invoke("promote", "fed", "--force")
    raw = json.loads(invoke("promote", "fed", "--force", "--reason", "no users on this host", "--json").output)
    assert raw["live"]["stable"] == OTHER and raw["gates"]["state"] == "inconclusive"
    line = json.loads(invoke("history", "--json").output)["changes"][-1]
    assert line["reason"] == "no users on this host" and line["figures"] == raw["gates"]


def test_promote_takes_what_passes(store, monkeypatch) -> None:
    report = GateReport(OTHER, RELEASE.release, [GateVerdict("quality", "pass", "better", {"ndcg@10": float("nan")})])
    monkeypatch.setattr("cascade.rollout.gates.verify.verify", lambda *_: report)
    result = invoke("promote", "fed")
    assert result.exit_code == 0
    assert result.output.startswith(
        f"release {OTHER}: pass (1 gates); compared with {RELEASE.release}\nstable: {OTHER}"
    )
    figures = LiveSets(store.repository, store.model).history().lines[-1].figures
    assert figures["verdicts"][0]["figures"] == {"ndcg@10": None}


@pytest.fixture
def finished(store, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``finished(release, *names)``: a run of ``cascade run`` that exports ``release``; it ran the stages ``names``."""

    def run(release: str, *names: str, options: tuple[str, ...] = ()) -> Any:
        def stages(config: Any, runs: Path, only: list[str], force: bool, ran: set[str]) -> dict[str, Artifact]:
            ran.update(names)
            return {"export": Artifact(runs, "export", "", {}, {"release": release})}

        monkeypatch.setattr("cascade.cli.run.run_stages", stages)
        return CliRunner().invoke(cli.app, ["run", *options], catch_exceptions=False)

    return run


def test_a_run_judges_what_it_has_exported_and_ends_well(store, finished) -> None:
    result = finished(OTHER, "ranker", "export")
    assert result.exit_code == 0
    assert f"release {OTHER}: inconclusive (" in result.stdout and "promote` holds it" in result.stdout
    assert f"compared with {RELEASE.release}" in result.stdout


def test_a_run_says_of_a_bad_release_what_follows_and_ends_well(store, finished) -> None:
    (store.folder(OTHER) / "cascade" / "1" / "graph.json").write_text("{}")
    result = finished(OTHER, "export")
    assert result.exit_code == 0
    assert f"release {OTHER}: fail (digests)" in result.stdout and "should not answer users" in result.stdout


def test_nothing_is_judged_if_nothing_was_exported_or_nobody_wants_it(finished) -> None:
    assert finished(OTHER, "evaluation").output == ""
    assert finished(OTHER, "export", options=("--no-verify",)).output == ""


def test_a_release_that_cannot_be_judged_is_no_error_of_the_run(finished) -> None:
    result = finished("gone", "export")
    assert result.exit_code == 0 and "release gone: not judged: " in result.stderr


def test_a_run_says_as_json_what_ran_and_how_the_release_is_judged(store, finished) -> None:
    found = json.loads(finished(OTHER, "export", options=("--json",)).stdout)
    assert found["release"] == found["gates"]["candidate"] == OTHER and found["gates"]["state"] == "inconclusive"
    [export] = found["stages"]
    assert (export["stage"], export["ran"]) == ("export", True) and found["evaluation"] is None
    unchanged = json.loads(finished(OTHER, "ranker", options=("--json",)).stdout)
    assert unchanged["gates"] is None and not unchanged["stages"][0]["ran"]


def test_a_run_that_fails_after_the_export_says_that_the_release_is_published(monkeypatch, store) -> None:
    def stages(config: Any, runs: Path, only: list[str], force: bool, ran: set[str]) -> dict[str, Artifact]:
        ran.update(exported)
        raise ConfigError("evaluation: all answers are empty")

    for exported in ({"ranker", "export"}, {"ranker"}):
        monkeypatch.setattr("cascade.cli.run.run_stages", stages)
        result = CliRunner().invoke(cli.app, ["run"])
        assert isinstance(result.exception, ConfigError)
        assert ("is published, and was not judged" in result.stderr) == ("export" in exported)
