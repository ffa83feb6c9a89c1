"""Promotion and rollback, with the servers that follow or do not."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cascade.core.errors import ArtifactError, ReleaseError
from cascade.ensemble.repository.digests import write_digests
from cascade.ensemble.server.releases.running_servers import LiveServer
from cascade.ensemble.server.status import ServerStatus
from cascade.rollout.releases import servers
from cascade.rollout.releases.arms import set_shadows, start_arms, start_canary
from cascade.rollout.releases.live_set import LIVE_SET, Arm, LiveSet, LiveSets
from cascade.rollout.releases.promotion import promote, renew, rollback
from cascade.rollout.releases.store import ReleaseStore


@pytest.fixture
def kept(export, store) -> ReleaseStore:
    """A store with the releases a, b and c."""
    for day, release in enumerate("abc", start=1):
        store.add(export(release, day=day))
    return store


@pytest.fixture
def sets(kept) -> LiveSets:
    return LiveSets(kept.repository, kept.model)


def stable_and_previous(sets: LiveSets) -> tuple[str, str | None]:
    live = sets.read()
    assert live
    return live.stable, live.previous


class Follower:
    """Stands for a `cascade serve`: it looks at the live set and says in its status what it has loaded.

    Args:
        load: called with a release; whether it could be loaded, None as long as that lasts.
    """

    def __init__(
        self, store: ReleaseStore, pid: int, release: str, load: Callable[[str], bool | None] = lambda _: True
    ) -> None:
        self.file = store.repository / f"status{pid}.json"
        self.server = LiveServer(pid, store.model, str(store.repository.absolute()), str(self.file), True)
        self.refused: dict[str, str] = {}
        self._live, self._load, self._stop = store.place / LIVE_SET, load, threading.Event()
        ServerStatus(True, release).write(self.file)
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        while not self._stop.wait(0.01):
            if self._live.exists():
                stable = json.loads(self._live.read_text())["stable"]
                loaded = self._load(stable)
                if loaded:
                    ServerStatus(True, stable).write(self.file)
                elif loaded is False:
                    self.refused[stable] = "op 'rank' is unknown"

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def follow(kept, monkeypatch, request) -> Callable[..., Follower]:
    running: list[Follower] = []
    monkeypatch.setattr(servers, "servers_of", lambda *_: [each.server for each in running])
    monkeypatch.setattr(servers, "state_of", lambda pid: "S")
    why_not = lambda _, live: "".join(each.refused.get(live.stable, "") for each in running)  # noqa: E731
    monkeypatch.setattr(servers, "refusal", why_not)

    def start(*arguments: object) -> Follower:
        running.append(Follower(kept, *arguments))
        request.addfinalizer(running[-1].end)
        return running[-1]

    return start


def test_without_a_server_the_live_set_is_changed(kept, sets) -> None:
    switch = promote(kept, "a", "first", 1)
    assert switch.whole and not switch.put_back and switch.servers == []
    assert stable_and_previous(sets) == ("a", None)
    promote(kept, "b", "second", 1)
    assert stable_and_previous(sets) == ("b", "a")
    promote(kept, "c", "third", 1)
    assert stable_and_previous(sets) == ("c", "b")
    lines = sets.history().lines
    assert [(line.action, line.reason) for line in lines] == [
        ("promote", "first"),
        ("promote", "second"),
        ("promote", "third"),
    ]


def test_a_rollback_exchanges_stable_and_previous(kept, sets) -> None:
    with pytest.raises(ReleaseError, match="no previous release"):
        rollback(kept, "", 1)
    promote(kept, "a", "", 1)
    with pytest.raises(ReleaseError, match="no previous release"):
        rollback(kept, "", 1)
    promote(kept, "b", "", 1)
    rollback(kept, "worse", 1)
    assert stable_and_previous(sets) == ("a", "b")
    rollback(kept, "", 1)
    assert stable_and_previous(sets) == ("b", "a")
    assert sets.history().lines[2].reason == "worse"


def test_a_rollback_ends_arms_and_the_shadow_that_it_makes_stable_and_names_them(kept, sets) -> None:
    promote(kept, "a", "", 1)
    promote(kept, "b", "", 1)
    arm, shadow = Arm("canary", "c", 0.05), Arm("shadow", "a", 0.1)
    sets.change(lambda live: replace(live, arms=(arm,), shadows=(shadow,)), actor="test", reason="")
    assert rollback(kept, "worse", 1).ended == [arm, shadow]
    assert sets.read().arms == () and stable_and_previous(sets) == ("a", "b")


def test_a_rollback_does_not_give_everybody_the_canary(kept, sets) -> None:
    promote(kept, "a", "", 1)
    promote(kept, "b", "", 1)
    before = sets.change(lambda live: replace(live, arms=(Arm("canary", "a", 0.5),)), actor="test", reason="")
    with pytest.raises(ReleaseError, match="a: would answer everybody, and is canary now; `cascade release stop`"):
        rollback(kept, "back in a canary", 1)
    assert sets.read() == before


def test_the_stable_release_is_not_promoted_again(kept, sets) -> None:
    promote(kept, "a", "", 1)
    with pytest.raises(ReleaseError, match="a: is the stable one already"):
        promote(kept, "a", "", 1)
    assert len(sets.history().lines) == 1


def test_a_damaged_or_unknown_release_is_not_promoted(kept, sets) -> None:
    promote(kept, "a", "", 1)
    file = kept.folder("b") / "shop" / "1" / "graph.json"
    file.write_text("{")
    with pytest.raises(ArtifactError, match="graph.json: damaged"):
        promote(kept, "b", "", 1)
    with pytest.raises(ReleaseError, match="'d': expected"):
        promote(kept, "d", "", 1)
    assert stable_and_previous(sets) == ("a", None)


def test_all_servers_are_waited_for(kept, follow) -> None:
    begin = time.monotonic()
    follow(11, "a")
    follow(12, "a", lambda release: time.monotonic() - begin > 0.3 or None)
    switch = promote(kept, "b", "", 30)
    assert switch.whole and [each.pid for each in switch.servers] == [11, 12]
    assert switch.servers[0].seconds <= switch.servers[1].seconds


def test_the_first_promotion_can_be_rolled_back_to_what_servers_had(kept, sets, follow) -> None:
    server = follow(11, "a")
    promote(kept, "b", "", 30)
    assert stable_and_previous(sets) == ("b", "a")
    assert rollback(kept, "", 30).whole
    assert ServerStatus.read(server.file).release == "a"


def test_what_servers_had_is_no_previous_release_if_it_is_not_kept(kept, sets, follow) -> None:
    follow(11, "of an earlier version")
    promote(kept, "b", "", 30)
    assert stable_and_previous(sets) == ("b", None)


def test_a_server_that_is_late_leaves_the_live_set_as_it_is(kept, sets, follow) -> None:
    follow(11, "a")
    follow(12, "a", lambda release: None)
    switch = promote(kept, "b", "", 0.3)
    assert not switch.whole and not switch.put_back
    assert [each.seconds is None for each in switch.servers] == [False, True]
    assert "does not answer with it after 0.3 s" in switch.servers[1].why_not
    assert stable_and_previous(sets)[0] == "b"


@pytest.mark.parametrize("change", ["promote", "rollback"])
def test_a_release_that_a_server_cannot_load_is_put_back(kept, sets, follow, change) -> None:
    sets.change(lambda _: LiveSet("a", "b"), actor="test", reason="")
    follow(11, "a", lambda release: release == "a")
    switch = promote(kept, "c", "", 30) if change == "promote" else rollback(kept, "", 30)
    assert switch.put_back and not switch.whole
    assert "op 'rank' is unknown" in switch.servers[0].why_not
    assert stable_and_previous(sets) == ("a", "b")
    lines = sets.history().lines
    assert [line.action for line in lines[1:]] == [change, "put back"]
    assert f"process 11 cannot load release {'c' if change == 'promote' else 'b'}: op 'rank'" in lines[-1].reason
    assert sets.history().faults == []


def test_a_first_promotion_that_fails_leaves_no_live_set(kept, sets, follow) -> None:
    follow(11, "of an earlier version", lambda release: False)
    switch = promote(kept, "b", "", 30)
    assert switch.put_back and switch.live is None and sets.read() is None
    assert sets.history().faults == []


def test_a_server_that_ends_meanwhile_is_said(kept, follow, monkeypatch) -> None:
    follow(11, "a", lambda release: None)
    monkeypatch.setattr(servers, "state_of", lambda pid: "")
    switch = promote(kept, "b", "", 30)
    assert not switch.whole and switch.servers[0].why_not == "has ended"


def test_a_server_that_does_not_follow_is_not_waited_for(kept, follow) -> None:
    """One of `cascade.Server`, in somebody's program, has no SIGHUP and no live set."""
    server = follow(11, "a", lambda release: False)
    server.server = LiveServer(**{**vars(server.server), "takes_hangup": False})
    assert promote(kept, "b", "", 0.2).servers == []


def test_another_change_meanwhile_is_not_put_back(kept, sets, follow) -> None:
    sets.change(lambda _: LiveSet("a"), actor="test", reason="")

    def load(release: str) -> bool:
        if release == "b":
            sets.change(lambda live: LiveSet("c", "b"), actor="somebody", reason="")
            follower.refused["b"] = "is damaged"
        return release != "b"

    follower = follow(11, "a", load)
    with pytest.raises(
        ReleaseError, match="another process has changed it meanwhile.*process 11 cannot load release b"
    ):
        promote(kept, "b", "", 30)
    assert stable_and_previous(sets) == ("c", "b")


def test_a_release_that_is_retired_meanwhile_is_not_promoted(kept, sets, monkeypatch) -> None:
    verify = kept.verify

    def verify_slowly(release: str) -> None:
        verify(release)
        ReleaseStore(kept.repository, kept.model).retire(release)

    monkeypatch.setattr(kept, "verify", verify_slowly)
    with pytest.raises(ReleaseError, match="'b': expected"):
        promote(kept, "b", "", 1)
    assert sets.read() is None
    assert not list(Path(kept.place).glob("b"))


def test_a_server_that_has_the_release_but_answers_nobody_is_late(kept, sets, follow) -> None:
    """Its tritonserver is being started again: whoever rolls back must not be told that all is well."""
    sets.change(lambda _: LiveSet("a"), actor="test", reason="")
    follower = follow(11, "a", lambda release: None)
    ServerStatus(False, "b").write(follower.file)
    switch = promote(kept, "b", "", 0.2)
    assert not switch.whole and "does not answer with it after 0.2 s" in switch.servers[0].why_not
    ServerStatus(True, "b").write(follower.file)
    assert not rollback(kept, "", 0.2).whole and promote(kept, "b", "", 30).whole


def test_a_shadow_ends_when_its_release_becomes_the_stable_one(kept, sets) -> None:
    shadows = (Arm("one", "b", 0.1), Arm("two", "c", 0.1))
    sets.change(lambda _: LiveSet("a", shadows=shadows), actor="test", reason="")
    assert promote(kept, "b", "", 0.1).live.shadows == shadows[1:]
    sets.change(lambda live: replace(live, shadows=(Arm("old", "a", 0.1),)), actor="test", reason="")
    assert rollback(kept, "", 0.1).live.shadows == ()


@pytest.fixture
def refreshed(kept, export) -> ReleaseStore:
    """With the releases A, B, C and D in the places of a, b, c and d."""
    for day, release in enumerate("dABCD", start=11):
        kept.add(export(release, day=day))
    return kept


BESIDE = {"arms": (Arm("one", "b", 0.2), Arm("two", "c", 0.3)), "shadows": (Arm("shadow", "d", 0.5),)}
RENEWED = {release: release.upper() for release in "abcd"}


@pytest.mark.parametrize(("with_previous", "previous"), [(False, "a"), (True, "D")])
def test_refreshed_releases_take_all_places_at_once_and_users_stay(refreshed, sets, with_previous, previous) -> None:
    before = sets.change(lambda _: LiveSet("a", "d", **BESIDE), actor="test", reason="")
    live = renew(refreshed, RENEWED, "spring", 1, {"gates": []}, with_previous=with_previous).live
    assert live == sets.read() and live.generation == before.generation + 1
    assert (live.stable, live.previous, live.salt) == ("A", previous, before.salt)
    assert live.arms == (Arm("one", "B", 0.2), Arm("two", "C", 0.3)) and live.shadows == (Arm("shadow", "D", 0.5),)
    line = sets.history().lines[-1]
    assert (line.action, line.reason, line.figures) == ("refresh", "spring", {"gates": []})


def test_a_release_that_stays_keeps_its_place_and_the_previous_one_too(refreshed, sets) -> None:
    sets.change(lambda _: LiveSet("a", "d", **BESIDE), actor="test", reason="")
    live = renew(refreshed, {**RENEWED, "a": "a", "c": "c"}, "", 1, with_previous=False).live
    assert (live.stable, live.previous) == ("a", "d") and [arm.release for arm in live.arms] == ["B", "c"]


def test_without_a_previous_release_there_is_none_after_a_removal(refreshed, sets) -> None:
    sets.change(lambda _: LiveSet("a"), actor="test", reason="")
    assert renew(refreshed, RENEWED, "", 1, with_previous=True).live.previous is None
    with pytest.raises(ReleaseError, match="no previous release"):
        rollback(refreshed, "", 1)


def test_the_previous_release_is_never_the_stable_one(refreshed, sets) -> None:
    """It was refreshed alone before, and is again with the same items."""
    sets.change(lambda _: LiveSet("A", "a"), actor="test", reason="")
    assert renew(refreshed, {"A": "A", "a": "A"}, "", 1, with_previous=True).live.previous is None


def test_a_refresh_changes_nothing_where_other_releases_are_in_use_by_now(refreshed, sets) -> None:
    sets.change(lambda _: LiveSet("a", "d", **BESIDE), actor="test", reason="")
    for known in ("abc", "acd", "bcd"):
        with pytest.raises(ReleaseError, match="other releases are in use than when the refresh began"):
            renew(refreshed, {release: release.upper() for release in known}, "", 1, with_previous=False)
    sets.change(lambda live: replace(live, previous="b", shadows=()), actor="test", reason="")
    assert renew(refreshed, {**RENEWED, "d": "d"}, "", 1, with_previous=True).live.previous == "B"


def test_an_arm_that_would_be_the_stable_release_is_named(refreshed, sets) -> None:
    sets.change(lambda _: LiveSet("a", arms=(Arm("canary", "A", 0.2),)), actor="test", reason="")
    with pytest.raises(ReleaseError, match="canary: its release A is the stable one with these items"):
        renew(refreshed, {"a": "A", "A": "A"}, "", 1, with_previous=False)
    assert stable_and_previous(sets) == ("a", None)


def test_a_refresh_with_a_damaged_release_changes_nothing(refreshed, sets) -> None:
    sets.change(lambda _: LiveSet("a", "d", **BESIDE), actor="test", reason="")
    (refreshed.folder("C") / "shop" / "1" / "graph.json").write_text("{")
    with pytest.raises(ArtifactError, match="graph.json: damaged"):
        renew(refreshed, RENEWED, "", 1, with_previous=False)
    assert len(sets.history().lines) == 1


def test_arms_are_put_back_with_the_release_that_a_server_cannot_load(refreshed, sets, follow) -> None:
    before = sets.change(lambda _: LiveSet("a", "d", **BESIDE), actor="test", reason="")
    follow(11, "a", lambda release: release == "a")
    switch = renew(refreshed, RENEWED, "", 30, with_previous=True)
    assert switch.put_back and (switch.live.stable, switch.live.previous) == ("a", "d")
    assert (switch.live.arms, switch.live.shadows) == (before.arms, before.shadows)
    assert switch.live.salt == before.salt


def test_a_rollback_that_is_put_back_leaves_every_user_in_the_same_arm(refreshed, sets, follow) -> None:
    before = sets.change(lambda _: LiveSet("a", "d", **BESIDE), actor="test", reason="")
    follow(11, "a", lambda release: release == "a")
    switch = rollback(refreshed, "worse", 30)
    assert switch.put_back and (switch.live.arms, switch.live.salt) == (before.arms, before.salt)


@pytest.mark.parametrize("first", ["arm", "shadow"])
def test_an_arm_and_a_shadow_of_one_name_are_refused(kept, sets, first) -> None:
    promote(kept, "a", "", 1)
    steps = [
        lambda: start_arms(kept, [Arm("new", "b", 0.5)], ""),
        lambda: set_shadows(kept, [Arm("new", "c", 1.0)], ""),
    ]
    (one, other) = steps if first == "arm" else steps[::-1]
    one()
    before = sets.read()
    with pytest.raises(ReleaseError, match="would both be called 'new'; give the arm another name"):
        other()
    assert sets.read() == before


@pytest.mark.parametrize("other", ['input { name: "city" }', 'output { name: "why" }', "parameters"])
def test_what_can_answer_no_request_of_the_stable_release_is_no_arm_and_no_shadow(kept, sets, other) -> None:
    promote(kept, "a", "", 1)
    config = kept.folder("b") / "shop" / "config.pbtxt"
    if other == "parameters":
        other = 'parameters { key: "stages" value { string_value: "lookup,rank" } }'
    config.write_text(f"{config.read_text()} {other}")
    write_digests(config.parent / "1", config.read_text())
    before = sets.read()
    for begin in (
        lambda: start_canary(kept, "b", 0.1, ""),
        lambda: start_arms(kept, [Arm("new", "b", 0.5), Arm("newer", "c", 0.1)], ""),
        lambda: set_shadows(kept, [Arm("new", "b", 1.0)], ""),
    ):
        with pytest.raises(ReleaseError, match="b: has other inputs, outputs or stages than a, .* `cascade release p"):
            begin()
    assert sets.read() == before
    set_shadows(kept, [Arm("new", "c", 1.0)], "")
