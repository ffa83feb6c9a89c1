"""``cascade release``: what each command prints, as text and as JSON, and its exit code."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from release_exports import write_export
from typer.testing import CliRunner

from cascade.cli import main as cli
from cascade.core.errors import ConfigError, ReleaseError
from cascade.rollout.releases.live_set import Arm, LiveSet, LiveSets
from cascade.rollout.releases.store import ReleaseStore


def invoke(*args: str) -> Any:
    return CliRunner().invoke(cli.app, ["release", *args], catch_exceptions=False)


def promote(release: str, reason: str = "a test") -> Any:
    """Nothing in these releases can be loaded, so no gate would let them pass."""
    return invoke("promote", release, "--force", "--reason", reason)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReleaseStore:
    """An empty store; the config in the current folder names it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(
        "schema: {sparse: [user_id, item_id]}\nexport: {repository: models, model_name: shop}\n"
    )
    return ReleaseStore(tmp_path / "models", "shop")


@pytest.fixture
def kept(store: ReleaseStore, tmp_path: Path) -> ReleaseStore:
    """A store with the releases aaaa and bbbb; bbbb is published."""
    write_export(tmp_path / "one", "aaaa", settings={"ann": {"topk": 200}}, notices=("no GPU here",))
    write_export(tmp_path / "two", "bbbb", ("rank",), day=2, settings={"ann": {"topk": 300}})
    for name in ("one", "two"):
        store.add(tmp_path / name)
    shutil.copytree(tmp_path / "two", store.repository, dirs_exist_ok=True)
    return store


def test_an_empty_store_says_how_to_fill_it(store) -> None:
    result = invoke("list")
    assert result.exit_code == 0 and "no releases; `cascade run` keeps one" in result.output
    assert json.loads(invoke("list", "--json").output) == []
    assert "no changes yet" in invoke("history").output


def test_a_mistake_in_another_section_does_not_stop_a_rollback(kept) -> None:
    promote("a")
    promote("b")
    Path("pipeline.yaml").write_text("serving: {topk: many}\nexport: {repository: models, model_name: shop}\n")
    assert invoke("rollback", "--reason", "worse").exit_code == 0
    assert LiveSets(kept.repository, "shop").read().stable == "aaaa"


def test_a_mistake_in_the_section_export_is_named(kept) -> None:
    Path("pipeline.yaml").write_text("schema: {sparse: [user_id, item_id]}\nexport: {repositry: models}\n")
    with pytest.raises(ConfigError, match=r"export.repositry: no such key.*pipeline.yaml:2"):
        invoke("rollback", "--reason", "worse")


def test_the_list_marks_what_each_release_is(kept) -> None:
    promote("a")
    promote("b")
    rows = [line.split() for line in invoke("list").output.splitlines()[2:]]
    assert [row[0] for row in rows] == ["bbbb", "aaaa"]
    assert rows[0][1:3] == ["stable,", "published"] and rows[1][1] == "previous"
    assert rows[0][-3:] == ["ensemble", "1.1", "MB"] and rows[1][-4:] == ["fused", "1.0", "MB", "1"]
    found = json.loads(invoke("list", "--json").output)
    assert [each["marks"] for each in found] == [["stable", "published"], ["previous"]]
    assert found[1]["notices"] == ["no GPU here"] and found[1]["parts"] == {"index": "digest of aaaa"}


def test_show(kept) -> None:
    text = invoke("show", "aa").output
    for part in ("aaaa", "2026-01-01", "fused", "digest of aa", "no GPU here", str(Path("shop/.releases/aaaa"))):
        assert part in text
    assert json.loads(invoke("show", "aa", "--json").output)["folder"].endswith("shop/.releases/aaaa")


def test_diff(kept) -> None:
    text = invoke("diff", "aaaa", "bbbb").output
    rows = [line.split("  ") for line in text.splitlines()]
    found = {row[0].strip(): [cell.strip() for cell in row[1:] if cell.strip()] for row in rows}
    assert found["serving.ann.topk"] == ["200", "300"] and found["layout"] == ["fused", "ensemble"]
    assert found["part index"] == ["digest of aa", "digest of bb"]
    assert text.splitlines()[-1] == "notice of aaaa only: no GPU here"
    raw = json.loads(invoke("diff", "a", "b", "--json").output)
    assert (raw["first"], raw["second"], raw["settings"]) == ("aaaa", "bbbb", {"ann.topk": [200, 300]})


def test_verify_names_the_damaged_file_and_fails(kept) -> None:
    (kept.folder("bbbb") / "shop_rank" / "1" / "step.json").write_text("")
    result = invoke("verify", "bbbb")
    assert result.exit_code == 1 and "step.json: damaged (0 bytes instead of 4)" in result.output
    raw = json.loads(invoke("verify", "bbbb", "--json").output)
    assert raw["state"] == "fail" and [each["gate"] for each in raw["verdicts"]] == ["digests"]


def test_promote_rollback_history(kept) -> None:
    result = promote("aaaa", "the first")
    assert result.exit_code == 0
    assert result.output.splitlines()[1:] == [
        "stable: aaaa (generation 1)",
        "no `cascade serve` of this model runs; the next one starts with it",
    ]
    assert "\nstable: bbbb; previous: aaaa (generation 2)\n" in promote("bbbb").output
    raw = json.loads(invoke("rollback", "--reason", "worse", "--json").output)
    live = {"generation": 3, "stable": "aaaa", "previous": "bbbb"}
    assert raw == {"live": live, "servers": [], "put_back": False, "whole": True}
    rows = [line.split() for line in invoke("history").output.splitlines()[2:]]
    assert [row[0] for row in rows] == ["1", "2", "3"] and rows[2][-2:] == ["aaaa", "worse"]
    assert f"pid {os.getpid()}" in " ".join(rows[0])
    changes = json.loads(invoke("history", "--json").output)["changes"]
    assert [(change["action"], change["to"]["stable"]) for change in changes] == [
        ("promote", "aaaa"),
        ("promote", "bbbb"),
        ("rollback", "aaaa"),
    ]


def test_history_fails_if_the_log_was_changed(kept) -> None:
    for release in ("aaaa", "bbbb"):
        promote(release, "good")
    log = LiveSets(kept.repository, kept.model).log.file
    log.write_text(log.read_text().replace("good", "well", 1))
    result = invoke("history")
    assert result.exit_code == 1 and "audit.jsonl: line 2: does not follow from the line before" in result.stderr
    assert json.loads(invoke("history", "--json").stdout)["faults"]


def test_the_previous_release_is_retired_if_it_is_called_so(kept) -> None:
    promote("a")
    promote("b")
    with pytest.raises(ReleaseError, match="aaaa: a rollback would bring it back"):
        invoke("retire", "a")
    with pytest.raises(ReleaseError, match="bbbb: is the stable one"):
        invoke("retire", "b", "--previous")
    assert invoke("retire", "a", "--previous").output == "release aaaa: removed\n"
    with pytest.raises(ReleaseError, match="there is no previous release to go back to"):
        invoke("rollback")
    [*_, last] = json.loads(invoke("history", "--json").output)["changes"]
    assert last["action"] == "retire" and "aaaa is given up" in last["reason"]
    live = LiveSets(kept.repository, kept.model).read()
    assert live is not None and (live.stable, live.previous) == ("bbbb", None)


def test_a_previous_release_that_is_in_use_besides_is_not_given_up(kept) -> None:
    sets = LiveSets(kept.repository, kept.model)
    for fields in ({"arms": (Arm("plain", "aaaa", 0.5),)}, {"shadows": (Arm("shadow", "aaaa", 0.5),)}):
        before = sets.change(lambda _, fields=fields: LiveSet("bbbb", "aaaa", **fields), actor="test", reason="")
        with pytest.raises(ReleaseError, match="aaaa: is in use as (plain, .* stop`|shadow, .* --off`)"):
            invoke("retire", "aaaa", "--previous")
        assert sets.read() == before


def test_retire(kept) -> None:
    promote("bbbb")
    with pytest.raises(ReleaseError, match="bbbb: is the stable one"):
        invoke("retire", "b")
    assert invoke("retire", "a").output == "release aaaa: removed\n"
    with pytest.raises(ReleaseError, match="'a': expected the beginning of one id; .*are kept: bbbb"):
        invoke("show", "a")


def test_a_reload_says_what_it_ends_and_that_no_gate_was_asked(kept, monkeypatch) -> None:
    promote("aaaa")
    sets = LiveSets(kept.repository, "shop")
    sets.change(lambda live: replace(live, arms=(Arm("fresh", "bbbb", 0.1),)), actor="test", reason="")

    def loads_what_is_published(*_: Any) -> list[str]:
        sets.change(lambda live: live.with_stable("bbbb"), actor="test", reason="")
        return ["bbbb"]

    monkeypatch.setattr("cascade.ensemble.server.releases.reload.reload", loads_what_is_published)
    first, second, third = CliRunner().invoke(cli.app, ["reload"], catch_exceptions=False).output.splitlines()
    assert (first, second) == ("live: model shop, release bbbb", "ended: fresh, release bbbb at 10 %")
    assert third.startswith("no gate was asked")
    monkeypatch.setattr("cascade.ensemble.server.releases.reload.reload", lambda *_: ["bbbb"])
    again = CliRunner().invoke(cli.app, ["reload"], catch_exceptions=False).output
    assert again == "live: model shop, release bbbb\n"
