"""``cascade ab`` and ``cascade events``: what they print."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from release_exports import write_export
from typer.testing import CliRunner

from cascade.cli import main as cli
from cascade.cli.text.quantities import duration, percent, seconds_of, shares_of
from cascade.core.errors import ConfigError, DataError, ReleaseError
from cascade.rollout.releases.live_set import Arm, LiveSet, LiveSets
from cascade.rollout.releases.store import ReleaseStore


def invoke(*args: str) -> Any:
    return CliRunner().invoke(cli.app, [*args], catch_exceptions=False)


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LiveSets:
    """The releases aaaa (stable), bbbb and cccc."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(
        "schema: {sparse: [user_id, item_id]}\nexport: {repository: models, model_name: shop}\n"
    )
    store = ReleaseStore(tmp_path / "models", "shop")
    for day, release in enumerate(("aaaa", "bbbb", "cccc"), start=1):
        write_export(tmp_path / release, release, day=day)
        store.add(tmp_path / release)
    sets = LiveSets(store.repository, store.model)
    sets.change(lambda _: LiveSet("aaaa"), actor="test", reason="")
    return sets


def feed(folder: Path, users: int) -> Path:
    """Half of the users click."""
    file = folder / f"events{users}.csv"
    now = time.time()
    rows = [f"{user},{now},impression\n" + (f"{user},{now},click\n" if user % 2 else "") for user in range(users)]
    file.write_text("user_id,time,event\n" + "".join(rows))
    return file


def test_a_test_from_start_to_stop(sets, tmp_path) -> None:
    assert "there was no canary and no A/B test yet" in invoke("ab", "status").output
    assert json.loads(invoke("ab", "status", "--json").output) is None
    started = invoke("ab", "start", "--arm", "one=bb:20", "--arm", "two=cccc:30%", "--reason", "which is better")
    assert started.output.splitlines() == [
        "one: release bbbb answers 20 % of the users",
        "two: release cccc answers 30 % of the users",
        "stable: release aaaa answers 50 % (generation 2)",
    ]
    assert sets.read().arms == (Arm("one", "bbbb", 0.2), Arm("two", "cccc", 0.3))
    file = feed(tmp_path, 2000)
    assert "3,000 events, 3,000 of them during a canary or an A/B test" in invoke("events", "ingest", str(file)).output
    assert "which were ingested before" in invoke("events", "ingest", str(file)).output
    again = json.loads(invoke("events", "ingest", str(file), "--json").output)
    assert again == {"events": 3000, "known": True, "in_arms": 0}
    text = invoke("ab", "status").output
    assert "one: hold. The difference of click" in text and "two: hold." in text
    found = json.loads(invoke("ab", "status", "--json").output)
    assert found["stable"] == "aaaa" and [arm["arm"] for arm in found["arms"]] == ["one", "two"]
    users = [found["stable_users"], *(arm["users"] for arm in found["arms"])]
    assert sum(users) == 2000 and users == pytest.approx([1000, 400, 600], abs=100)
    assert found["arms"][0]["metrics"][0]["value"] == pytest.approx(0.5, abs=0.1)
    stopped = invoke("ab", "stop", "--reason", "enough")
    assert "release aaaa answers everybody" in stopped.output and sets.read().arms == ()
    assert json.loads(invoke("ab", "status", "--json").output)["ended_us"]


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ("one", "--arm: expected NAME=RELEASE:SHARE such as fresh=3414:10, got 'one'"),
        ("one=bbbb", "expected NAME=RELEASE:SHARE"),
        ("=bbbb:5", "expected NAME=RELEASE:SHARE"),
        ("one=bbbb:", "--arm one: expected a percentage"),
        *(
            (f"{name}=bbbb:5", "a name of 1 to 40 letters, digits, _ . or -, got")
            for name in (" ", "a\nb", 'a"b', 41 * "x")
        ),
        ("canary=bbbb:5", "expected another name than canary"),
        ("stable=bbbb:5", "shares.stable: expected no share"),
    ],
)
def test_an_arm_that_cannot_work_is_refused(arm: str, message: str, sets) -> None:
    with pytest.raises(ConfigError, match=message):
        invoke("ab", "start", "--arm", arm)
    assert sets.read().arms == ()


def test_unknown_and_stable_releases_are_refused(sets) -> None:
    with pytest.raises(ReleaseError, match="release 'zz'"):
        invoke("ab", "start", "--arm", "one=zz:5")
    with pytest.raises(ReleaseError, match="is the stable one already"):
        invoke("ab", "start", "--arm", "one=aaaa:5")


def test_a_bad_file_of_events_is_refused(sets, tmp_path) -> None:
    (tmp_path / "e.csv").write_text("user_id,time,event\n1,5,click\n2,never,click\n")
    with pytest.raises(DataError, match="e.csv, time, row 2: expected a time, got 'never'"):
        invoke("events", "ingest", "e.csv")


def test_quantities() -> None:
    assert shares_of("1, 2.5%,100", "x") == [0.01, 0.025, 1.0]
    assert [seconds_of(text, "x") for text in ("90", "90s", "1.5m", "2h", "1d")] == [90, 90, 90, 7200, 86400]
    assert [percent(share) for share in (0.01, 0.125, 1.0, 0.0005)] == ["1 %", "12.5 %", "100 %", "0.05 %"]
    assert [duration(seconds) for seconds in (0, 59.6, 130, 7200)] == ["0 s", "1 m", "2 m 10 s", "2 h"]
