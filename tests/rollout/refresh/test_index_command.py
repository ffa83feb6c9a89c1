"""``cascade index refresh``: what it prints, its exit codes, what is live afterwards, and the audit log."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from refresh_shop import MODEL, SCHEMA, some_item
from typer.testing import CliRunner

from cascade.cli import main as cli
from cascade.cli.release import verified
from cascade.core.errors import CascadeError, ConfigError, ReleaseError
from cascade.ensemble.repository.refresh_files import REFRESH, SPEC
from cascade.rollout.gates.verdict import GateReport, GateVerdict
from cascade.rollout.refresh.kept_release import KeptRelease
from cascade.rollout.releases.live_set import Arm, LiveSet, LiveSets

pytestmark = pytest.mark.slow

GATES = {"min_users": 5, "min_slice_users": 1000, "quality_margin": 0.9, "min_coverage": 0, "max_latency_ratio": 50}


def without_judging_few_users(*arguments: Any) -> GateReport:
    """What the gates say, but those that 40 users are too few for."""
    found = verified(*arguments)
    left_out = ("slices", "calibration", "score shift")
    return replace(found, verdicts=[each for each in found.verdicts if each.gate not in left_out])


@pytest.fixture
def own(another, tmp_path, monkeypatch):
    """A shop whose release is stable; the config in the current folder is its own."""
    made = another(split=True)
    monkeypatch.setattr("os.nice", lambda _: 0)
    monkeypatch.setattr("cascade.cli.index.verified", without_judging_few_users)
    monkeypatch.chdir(tmp_path)
    config = {
        "schema": SCHEMA.model_dump(),
        "data": {"source": "tables", "path": made.data.path},
        "export": {"repository": str(made.store.repository)},
        "rollout": {"keep_releases": 2, "gates": GATES},
    }
    Path("pipeline.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("CASCADE_RUNS", str(made.parts["data"].path.parents[1]))
    sets = LiveSets(made.store.repository, MODEL)
    sets.change(lambda _: LiveSet(made.release), actor="test", reason="first")
    return made


def live(shop) -> str:
    found = LiveSets(shop.store.repository, MODEL).read()
    assert found
    return found.stable


def invoke(*args: str) -> Any:
    return CliRunner().invoke(cli.app, ["index", "refresh", *args], catch_exceptions=False)


def test_it_is_judged_promoted_and_noted(own):
    file = own.write([*own.items[1:], some_item(5, 9)], Path("all.parquet"))
    result = invoke("--items", str(file), "--reason", "spring")
    assert result.exit_code == 0, result.output
    first, *rest = result.output.splitlines()
    release = live(own)
    assert first == f"release {release}: 60 items, 1 new, 0 changed, 1 removed; else as {own.release} (stable)"
    assert rest[0].startswith(f"a rollback to {own.release} brings the removed items (1) back; if they must stay away")
    assert rest[1] == f"release {release}: pass (11 gates); compared with {own.release}"
    line = LiveSets(own.store.repository, MODEL).history().lines[-1]
    assert line.reason == f"spring (items of {own.release}: 1 new, 0 changed, 1 removed)"
    shown = CliRunner().invoke(cli.app, ["release", "show", release]).output
    assert f"refreshed from    {own.release}: 1 new, 0 changed, 1 removed" in shown
    diff = CliRunner().invoke(cli.app, ["release", "diff", own.release, release]).output
    assert "60 (1 new, 1 gone)" in diff and "refreshed from" in diff
    again = invoke("--items", str(file), "--json")
    assert again.exit_code == 0 and json.loads(again.output)["refreshed"][0]["release"] is None and live(own) == release


def test_the_items_of_the_source_are_the_default(own):
    result = invoke()
    assert result.exit_code == 0 and result.output == (
        f"release {own.release} (stable): its 60 items are as they were; nothing to do\n"
    )


def test_a_table_that_was_cut_off_is_not_promoted(own):
    result = invoke("--items", str(own.write(own.items[:40], Path("cut.parquet"))))
    assert result.exit_code == 1 and live(own) == own.release
    assert "catalogue" in result.output and "20 of 60 items of the live release are gone" in result.output
    forced = invoke("--items", "cut.parquet", "--force", "--reason", "we moved")
    assert forced.exit_code == 0 and live(own) != own.release


def test_items_that_are_named_may_go(own):
    result = invoke("--remove", str(own.write(own.items[40:50], Path("sold.parquet"))))
    assert result.exit_code == 0, result.output
    assert own.store.read(live(own)).refreshed == {"from": own.release, "new": 0, "changed": 0, "removed": 10}


def test_without_promotion_it_is_kept_and_judged(own):
    result = invoke("--remove", str(own.write(own.items[:2], Path("sold.parquet"))), "--no-promote", "--json")
    assert result.exit_code == 0 and live(own) == own.release
    found = json.loads(result.output)
    [made], [gates] = found["refreshed"], found["gates"]
    assert made["source"] == gates["live"] == own.release and gates["state"] == "pass"
    assert own.store.read(made["release"]).refreshed["removed"] == 2


def test_another_release_can_be_refreshed_and_the_oldest_ones_go(own):
    numbers = [own.refresh(own.release, Path(), remove=own.items[at : at + 1]).release for at in range(3)]
    result = invoke("--release", numbers[0][:8], "--remove", str(own.write(own.items[5:6], Path("sold.parquet"))))
    assert result.exit_code == 0, result.output
    release = live(own)
    assert own.store.read(release).refreshed["from"] == numbers[0]
    assert {each.id for each in own.store.releases()} <= {own.release, release, *numbers[2:]}


@pytest.fixture
def beside(own) -> LiveSet:
    """Releases that lack one item each are the previous one, a canary and a shadow."""
    made = [own.refresh(own.release, Path(), remove=own.items[at : at + 1]).release for at in range(3)]
    live = LiveSet(own.release, made[0], (Arm("canary", made[1], 0.2),), (Arm("shadow", made[2], 0.5),))
    return LiveSets(own.store.repository, MODEL).change(lambda _: live, actor="test", reason="")


def now(shop) -> LiveSet:
    found = LiveSets(shop.store.repository, MODEL).read()
    assert found
    return found


def sold(shop, release: str | None) -> set[int]:
    """Ids of the items of a release."""
    assert release
    return set(KeptRelease.open(shop.store, release).item_ids.tolist())


def test_what_is_named_to_be_taken_off_is_gone_from_every_release_that_may_answer(own, beside):
    gone = {item["item_id"] for item in own.items[5:7]}
    result = invoke("--remove", str(own.write(own.items[5:7], Path("recalled.parquet"))), "--reason", "recalled")
    assert result.exit_code == 0, result.output
    live = now(own)
    before = {release: sold(own, release) for release in beside.releases}
    assert sold(own, live.stable) == before[beside.stable] - gone
    assert sold(own, live.previous) == before[beside.previous] - gone
    for found, old in ((live.arms, beside.arms), (live.shadows, beside.shadows)):
        assert [(arm.name, arm.share) for arm in found] == [(arm.name, arm.share) for arm in old]
        assert sold(own, found[0].release) == before[old[0].release] - gone
    assert (live.salt, live.generation) == (beside.salt, beside.generation + 1)
    line = LiveSets(own.store.repository, MODEL).history().lines[-1]
    assert line.action == "refresh" and len(line.figures["gates"]) == 3
    assert "(canary 20 %)" in result.output and "(previous)" in result.output
    rolled = CliRunner().invoke(cli.app, ["release", "rollback", "--json"], catch_exceptions=False)
    assert rolled.exit_code == 0 and not sold(own, now(own).stable) & gone


def test_a_kept_release_that_still_has_a_recalled_item_is_not_promoted(own):
    kept = own.refresh(own.release, Path(), remove=own.items[:1]).release
    assert invoke("--remove", str(own.write(own.items[5:7], Path("recalled.parquet")))).exit_code == 0
    stable = live(own)
    result = CliRunner().invoke(cli.app, ["release", "promote", kept])
    assert result.exit_code == 1 and live(own) == stable
    assert "2 items that `cascade index refresh --remove` took off are in it" in result.stderr
    again = invoke("--add", str(own.write(own.items[5:7], Path("back.parquet"))))  # they may be sold again
    assert again.exit_code == 0 and live(own) != stable


def test_a_table_renews_all_that_answer_and_the_stable_release_becomes_the_previous_one(own, beside):
    result = invoke("--items", str(own.write([*own.items[1:], some_item(5, 9)], Path("all.parquet"))))
    assert result.exit_code == 0, result.output
    live = now(own)
    assert live.previous == beside.stable
    wanted = {5, *(item["item_id"] for item in own.items[1:])}
    assert [sold(own, release) for release in live.asked] == [wanted] * 3


def test_an_arm_that_does_not_pass_its_gates_or_cannot_be_renewed_is_named_and_nothing_changes(
    own, beside, monkeypatch
):
    [canary] = beside.arms

    def failing(*arguments: Any) -> GateReport:
        found = without_judging_few_users(*arguments)
        worse = [GateVerdict("quality", "fail", "worse")] if found.live == canary.release else []
        return replace(found, verdicts=[*found.verdicts, *worse])

    monkeypatch.setattr("cascade.cli.index.verified", failing)
    recalled = str(own.write(own.items[5:7], Path("recalled.parquet")))
    result = invoke("--remove", recalled)
    assert result.exit_code == 1 and f"fail (quality); compared with {canary.release}" in result.output
    assert now(own) == beside
    (own.version(canary.release) / REFRESH / SPEC).unlink()
    with pytest.raises(CascadeError, match=f"release {canary.release} \\(canary 20 %\\): "):
        invoke("--remove", recalled)
    assert now(own) == beside


def test_one_arm_can_be_renewed_alone(own, beside):
    [canary] = beside.arms
    recalled = str(own.write(own.items[5:7], Path("recalled.parquet")))
    assert invoke("--remove", recalled, "--release", canary.release).exit_code == 0
    live = now(own)
    assert sold(own, live.arms[0].release) == sold(own, canary.release) - {item["item_id"] for item in own.items[5:7]}
    assert replace(beside, arms=live.arms, generation=live.generation, audit=live.audit) == live


def test_without_a_previous_release_none_is_left_that_has_what_was_taken_off(own):
    result = invoke("--remove", str(own.write(own.items[5:7], Path("recalled.parquet"))))
    assert result.exit_code == 0 and now(own).previous is None
    assert f"there is no release to roll back to: {own.release} still has the removed items" in result.output


def test_mistakes(own):
    with pytest.raises(ConfigError, match="--force: expected --reason as well"):
        invoke("--force")
    with pytest.raises(ReleaseError, match="release 'zzz'"):
        invoke("--release", "zzz")
    with pytest.raises(ConfigError, match="expected neither --add nor --remove"):
        invoke("--items", "a.csv", "--add", "b.csv")
