"""``cascade release canary``, ``shadow`` and ``stop``: what they print, their exit codes, what the audit log has."""

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from cascade.cli import main as cli
from cascade.core.errors import ConfigError, ReleaseError
from cascade.ensemble.repository.release import ReleaseManifest
from cascade.rollout.canary import live_canary
from cascade.rollout.canary.live_canary import LiveCanary
from cascade.rollout.canary.scrape import Series
from cascade.rollout.gates.verdict import GateReport, GateVerdict
from cascade.rollout.releases.arms import start_canary, stop_arms
from cascade.rollout.releases.live_set import Arm, LiveSet, LiveSets
from cascade.rollout.releases.promotion import renew
from cascade.rollout.releases.store import ReleaseStore
from cascade.testing.miniature import RELEASE, miniature_repository, seal

pytestmark = pytest.mark.slow

OTHER, STABLE = "fedcba987654", RELEASE.release
REFRESHED = "abcabcabcabc"
FAST = ("--set", "rollout.canary.look_s=0.01", "--every", "0.03")


def invoke(*args: str) -> Any:
    return CliRunner().invoke(cli.app, ["release", *args], catch_exceptions=False)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReleaseStore:
    """A store with a stable release and an equal one that its gates let pass."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text("schema: {sparse: [user_id, item_id]}\nexport: {repository: models}\n")
    store = ReleaseStore(tmp_path / "models", "cascade")
    miniature_repository(tmp_path / "made")
    store.add(tmp_path / "made")
    folder = tmp_path / "other"
    shutil.copytree(tmp_path / "made", folder)
    for file in folder.rglob("*.json"):
        file.write_text(file.read_text().replace(STABLE, OTHER))
    seal(folder)
    store.add(folder)
    LiveSets(store.repository, store.model).change(lambda _: LiveSet(STABLE), actor="test", reason="")
    report = GateReport(OTHER, STABLE, [GateVerdict("quality", "pass", "better")])
    monkeypatch.setattr("cascade.rollout.gates.verify.verify", lambda *_: report)
    monkeypatch.setattr("cascade.rollout.canary.ramp.SETTLE_S", 0.0)
    return store


@pytest.fixture
def sets(store: ReleaseStore) -> LiveSets:
    return LiveSets(store.repository, store.model)


def counters(look: int, empty: float) -> dict[Series, float]:
    """Of a server that has answered 10,000 users of each arm between two looks."""
    found: dict[Series, float] = {}
    for arm, release, share in (("stable", STABLE, 0.0), ("canary", OTHER, empty), ("canary", REFRESHED, empty)):
        users = 10_000 * look
        labels = {("arm", arm), ("release", release), ("pid", "1")}
        sums = {"users": users, "empty_users": share * users, "items": 10 * (1 - share) * users}
        sums |= {"top_score": 0.5 * (1 - share) * users, "top_score_squares": 0.26 * (1 - share) * users}
        found |= {(f"recsys_arm_{name}_total", frozenset(labels)): value for name, value in sums.items()}
        found["recsys_arm_latency_seconds_bucket", frozenset(labels | {("le", "0.01")})] = users
    return found


@pytest.fixture
def serve(store: ReleaseStore, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``serve(empty=0.5, why_not="")``: a server whose canary gives this share of empty answers."""

    def start(empty: float = 0.0, why_not: str = "", then: Callable[[], object] = lambda: None, at: int = -1) -> None:
        looks = itertools.count(1)
        status = SimpleNamespace(live_set=10**6, arms={"canary": why_not}, metrics_url="http://localhost:1/metrics")

        def scrape(url: str) -> dict[Series, float]:
            if (look := next(looks)) == at:
                then()
            return counters(look, empty)

        monkeypatch.setattr(LiveCanary, "_statuses", lambda self: {7: status})
        monkeypatch.setattr(live_canary, "scrape", scrape)

    return start


def shares(sets: LiveSets) -> list[float]:
    """Of the canary after each change."""
    lines = [line.new or {} for line in sets.history().lines]
    return [line["arms"][0]["share"] if line.get("arms") else 0.0 for line in lines]


def test_a_ramp_that_passes_promotes(serve, sets) -> None:
    serve()
    result = invoke("canary", "fed", "--ramp", "1,5,100", *FAST, "--reason", "newer")
    assert result.exit_code == 0, result.output
    live = sets.read()
    assert (live.stable, live.previous, live.arms) == (OTHER, STABLE, ())
    assert shares(sets) == [0.0, 0.01, 0.05, 0.0]
    lines = sets.history().lines
    assert [line.action for line in lines[1:]] == ["canary", "canary", "promote"]
    assert {line.reason for line in lines[1:]} == {"newer"} and lines[-1].figures["state"] == "pass"
    looks = [line.split() for line in result.output.splitlines()[:-1]]
    assert {row[1] for row in looks} == {"1", "5"} and "pass" in looks[0]
    assert result.output.splitlines()[-1] == "promoted: every step passed"


def test_a_gate_that_fails_rolls_back_with_exit_code_1(serve, sets) -> None:
    serve(empty=0.5)
    result = invoke("canary", "fed", "--ramp", "5,100", *FAST)
    assert result.exit_code == 1 and "rolled back: empty: 50.00% of the users, stable 0.00%" in result.output
    live, line = sets.read(), sets.history().lines[-1]
    assert (live.stable, live.arms) == (STABLE, ())
    assert line.action == "canary rolled back" and line.reason.startswith("empty: 50.00%")
    assert line.figures["state"] == "fail" and "empty" in [each["gate"] for each in line.figures["verdicts"]]


def test_figures_that_cannot_be_read_hold_with_exit_code_3(serve, sets, monkeypatch) -> None:
    serve()
    monkeypatch.setattr(live_canary, "scrape", lambda url: (_ for _ in ()).throw(OSError("refused")))
    result = invoke("canary", "fed", "--ramp", "5,100", *FAST, "--wait", "0.05")
    assert (
        result.exit_code == 3 and "held: metrics: process 7: http://localhost:1/metrics cannot be read" in result.output
    )
    assert "the canary has 5 % of the users" in result.output and sets.read().canary.share == 0.05


def test_the_same_command_continues_from_its_share(serve, sets, store) -> None:
    start_canary(store, OTHER, 0.25, "by hand")
    serve()
    result = invoke("canary", "fed", "--ramp", "1,5,25,50,100", *FAST)
    assert result.exit_code == 0 and shares(sets) == [0.0, 0.25, 0.5, 0.0]


def test_what_others_do_meanwhile_stays(serve, sets, store) -> None:
    serve(then=lambda: stop_arms(store, "somebody else"), at=2)
    result = invoke("canary", "fed", "--ramp", "5,100", *FAST)
    assert result.exit_code == 1 and "another process has ended the canary" in result.output
    assert sets.read().arms == () and sets.history().lines[-1].reason == "somebody else"
    serve(then=lambda: start_canary(store, OTHER, 0.5, "somebody else"), at=2)
    result = invoke("canary", "fed", "--ramp", "5,100", *FAST)
    assert result.exit_code == 3 and "another process has changed the share to 0.5" in result.output
    assert sets.read().canary.share == 0.5


def test_a_canary_goes_on_with_other_items(serve, sets, store, tmp_path) -> None:
    """Its release is another one then; the ramp follows it, and the new one is promoted."""
    folder = tmp_path / "refreshed"
    shutil.copytree(tmp_path / "other", folder)
    for file in folder.rglob("*.json"):
        file.write_text(file.read_text().replace(OTHER, REFRESHED))
    for file in folder.rglob("release.json"):
        replace(ReleaseManifest.load(file), refreshed={"from": OTHER}).save(file)
    seal(folder)
    store.add(folder)
    places = {STABLE: STABLE, OTHER: REFRESHED}
    serve(then=lambda: renew(store, places, "", 1, with_previous=False), at=2)
    result = invoke("canary", "fed", "--ramp", "5,100", *FAST)
    assert result.exit_code == 0, result.output
    assert (sets.read().stable, sets.read().previous) == (REFRESHED, STABLE)
    assert [line.action for line in sets.history().lines[1:]] == ["canary", "refresh", "promote"]


def test_one_step_by_hand(serve, sets) -> None:
    serve()
    result = invoke("canary", "fed", "--share", "5", "--json")
    assert result.exit_code == 0
    assert json.loads(result.output) == {
        "outcome": "set", "share": 0.05, "reason": "the running servers answer with it", "gates": None
    }  # fmt: skip
    assert invoke("canary", "fed", "--share", "2.5%").exit_code == 0 and sets.read().canary.share == 0.025
    result = invoke("canary", "fed", "--share", "10", *FAST)
    assert result.exit_code == 0 and "set: every step passed (the canary has 10 % of the users)" in result.output


def test_a_step_by_hand_that_no_server_answers(serve, sets) -> None:
    result = invoke("canary", "fed", "--share", "5")
    assert result.exit_code == 0 and "no `cascade serve` of this model runs" in result.output
    serve(why_not="out of memory")
    result = invoke("canary", "fed", "--share", "6", "--timeout", "0.2")
    assert result.exit_code == 3 and "held: process 7: out of memory" in result.output


def test_what_does_not_pass_the_gates_is_not_started(store, sets, serve, monkeypatch) -> None:
    serve()
    report = GateReport(OTHER, STABLE, [GateVerdict("quality", "fail", "worse")])
    monkeypatch.setattr("cascade.rollout.gates.verify.verify", lambda *_: report)
    result = invoke("canary", "fed", "--share", "5")
    assert result.exit_code == 1 and "not started; --force --reason '...' starts it" in result.output
    assert sets.read().arms == ()
    with pytest.raises(ConfigError, match="--force: expected --reason"):
        invoke("canary", "fed", "--share", "5", "--force")
    assert invoke("canary", "fed", "--share", "5", "--force", "--reason", "known").exit_code == 0


def test_an_interruption_keeps_the_share_and_says_how_to_go_on(serve, sets) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    serve(then=interrupt, at=3)
    result = invoke("canary", "fed", "--ramp", "5,100", *FAST)
    assert result.exit_code == 130 and "the canary keeps 5 % of the users" in result.output
    assert "`cascade release stop` ends the canary" in result.output and sets.read().canary.share == 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "expected either --share 5, for one step, or --ramp 1,5,25,50,100"),
        (("--share", "5", "--ramp", "5"), "expected either --share"),
        (("--share", "0"), "--share: expected a percentage above 0 and at most 100, e.g. 5, got '0'"),
        (("--share", "101"), "--share: expected a percentage"),
        (("--share", "five"), "--share: expected a percentage .* got 'five'"),
        (("--ramp", "5,1"), "--ramp: expected ascending percentages, .* got '5,1'"),
        (("--ramp", "5,,10"), "--ramp: expected a percentage .* got ''"),
        (("--ramp", "5", "--every", "soon"), "--every: expected a duration such as 90s, 10m, 2h or 1d, got 'soon'"),
        (("--ramp", "5", "--wait", "-1"), "--wait: expected a duration"),
    ],
)
def test_options_that_cannot_work_are_refused(options: tuple[str, ...], message: str, store, sets) -> None:
    with pytest.raises(ConfigError, match=message):
        invoke("canary", "fed", *options)
    assert sets.read().arms == ()


def test_stop(store, sets) -> None:
    with pytest.raises(ReleaseError, match="no canary and no A/B test to end"):
        invoke("stop")
    start_canary(store, OTHER, 0.25, "")
    result = invoke("stop", "--reason", "complaints")
    assert result.exit_code == 0 and f"release {STABLE} answers everybody (generation 3)" in result.output
    assert sets.read().arms == () and sets.history().lines[-1].reason == "complaints"


def test_shadow(store, sets) -> None:
    assert f"release {OTHER} is asked 10 % of the requests" in invoke("shadow", "fed").output
    assert sets.read().shadows == (Arm("shadow", OTHER, 0.1),)
    assert "no shadow is asked" in invoke("shadow", "--off").output and sets.read().shadows == ()
    for args in ((), ("fed", "--off")):
        with pytest.raises(ConfigError, match="expected either a release"):
            invoke("shadow", *args)


def test_lists_mark_arms_and_shadows(store, sets) -> None:
    start_canary(store, OTHER, 0.25, "try")
    invoke("shadow", "fed")
    found = {each["id"]: each["marks"] for each in json.loads(invoke("list", "--json").output)}
    assert found[OTHER] == ["canary 25 %", "shadow 10 %"]
    assert "canary 25 %" in invoke("show", "fed").output
    rows = invoke("history").output.splitlines()
    assert f"canary 25 % {OTHER}" in rows[-2] and f"shadow 10 % {OTHER}" in rows[-1]
    with pytest.raises(ReleaseError, match="is in use as"):
        invoke("retire", "fed")
