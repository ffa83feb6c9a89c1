"""A server that follows the live set, with a stand-in for the server: what it is told to load, and what it says."""

from dataclasses import replace
from pathlib import Path

import pytest

from cascade.core.errors import ReleaseError, ServerError
from cascade.ensemble.config import ServerConfig
from cascade.ensemble.protocol.serving_file import ArmAddress, Beside
from cascade.rollout.releases.follow import Follower, first_release
from cascade.rollout.releases.live_set import LIVE_SET, Arm, LiveSet, LiveSets
from cascade.rollout.releases.store import ReleaseStore


class Server:
    """Loads every release but ``broken``."""

    def __init__(self, repository: Path, release: str):
        self.repository, self.model, self.release = repository, "shop", release
        self.broken, self.done, self.said = "", [], (0, "")
        self.config, self.beside, self.states = ServerConfig(), None, {}
        self.live_set_changes = {}

    def answers_alike(self, repository: Path) -> bool:
        return repository.name != "other"

    def ask_beside(self, beside, states) -> None:
        self.beside, self.states = beside, states

    def reload(self, repository: Path | None = None) -> None:
        name = "published" if repository is None else repository.name
        if name == self.broken:
            raise ServerError(f"{name}: cannot be loaded")
        self.done.append(("reload", name))
        self.release = name

    def keep(self, repository: Path) -> None:
        self.done.append(("keep", repository.name))

    def followed(self, generation: int, fault: str = "") -> None:
        self.said = generation, fault


@pytest.fixture
def kept(export, store) -> ReleaseStore:
    for day, release in enumerate("abc", start=1):
        store.add(export(release, day=day))
    return store


@pytest.fixture
def sets(kept) -> LiveSets:
    return LiveSets(kept.repository, kept.model)


@pytest.fixture
def server(kept) -> Server:
    return Server(kept.repository, "a")


@pytest.fixture
def follower(server) -> Follower:
    return Follower(server)


def live(sets: LiveSets, stable: str, previous: str | None = None) -> int:
    made = sets.change(lambda before: LiveSet(stable, previous), actor="test", reason="")
    return made.generation


def test_it_loads_the_stable_release_and_keeps_the_previous_one(sets, server, follower):
    generation = live(sets, "b", "a")
    follower.look()
    assert server.done == [("reload", "b"), ("keep", "a")] and server.said == (generation, "")
    follower.look()
    assert len(server.done) == 2  # once for each change
    live(sets, "a", "b")
    follower.look()
    assert server.done[2:] == [("reload", "a"), ("keep", "b")]


def test_it_follows_one_that_was_begun_anew_with_the_same_generation(sets, server, follower):
    live(sets, "a")
    follower.look()
    sets.file.unlink()
    sets.log.file.unlink()
    assert live(sets, "b") == 1
    follower.look()
    assert server.release == "b"


def test_it_does_not_follow_one_that_somebody_has_edited(sets, server, follower):
    live(sets, "a", "b")
    follower.look()
    sets.file.write_text(sets.file.read_text().replace('"stable": "a"', '"stable": "c"'))
    with pytest.raises(ReleaseError, match="differs from its line"):
        follower.look()
    assert server.release == "a"
    with pytest.raises(ReleaseError, match="differs from its line"):
        first_release(sets.folder.parents[1], "shop")


def test_a_reload_changes_nothing_while_the_live_set_is_edited(sets, server, follower):
    """The release that it would bring could not be noted as the stable one."""
    live(sets, "a", "b")
    follower.look()
    text = sets.file.read_text()
    sets.file.write_text(text.replace('"stable": "a"', '"stable": "b"'))
    with pytest.raises(ReleaseError, match="differs from its line"):
        follower.promote_published()
    assert server.release == "a" and ("reload", "published") not in server.done
    sets.file.write_text(text)
    follower.look()
    assert server.release == "a"


def test_what_cannot_be_loaded_is_said_with_the_generation_and_not_tried_again(sets, server, follower):
    server.broken = "c"
    generation = live(sets, "c", "a")
    follower.look()
    follower.look()
    assert server.release == "a" and server.done == [] and server.said == (generation, "c: cannot be loaded")
    again = live(sets, "a")
    follower.look()
    assert server.said == (again, "")


def test_a_release_that_is_not_kept_is_refused(sets, server, follower):
    live(sets, "nowhere")
    follower.look()
    assert server.release == "a" and "nowhere" in server.said[1]


def test_the_first_server_makes_its_release_the_stable_one(sets, follower):
    with follower:
        found = sets.read()
    assert found.stable == "a" and found.previous is None
    assert [line.action for line in sets.history().lines] == ["serve"]


def test_what_was_published_and_loaded_is_the_stable_one_and_the_one_before_the_previous(
    kept, sets, server, follower, monkeypatch
):
    live(sets, "a")
    monkeypatch.setattr(ReleaseStore, "published", lambda store: "b")
    follower.promote_published()
    assert server.done == [("reload", "b")]
    assert (sets.read().stable, sets.read().previous) == ("b", "a")
    follower.promote_published()  # nothing new
    assert sets.read().generation == 2


def test_a_published_release_that_cannot_be_loaded_changes_nothing(sets, server, follower, monkeypatch):
    generation = live(sets, "a")
    monkeypatch.setattr(ReleaseStore, "published", lambda store: "b")
    server.broken = "b"
    with pytest.raises(ServerError, match="cannot be loaded"):
        follower.promote_published()
    assert sets.read().generation == generation


def test_a_start_takes_the_stable_release_and_never_what_is_published_instead(kept, sets):
    assert first_release(kept.repository, "shop") == kept.repository  # nothing was ever live
    live(sets, "a")
    live(sets, "b", "a")
    assert first_release(kept.repository, "shop") == kept.folder("b")
    (kept.place / LIVE_SET).unlink()
    with pytest.raises(ReleaseError, match=r"live.json: is missing"):
        first_release(kept.repository, "shop")
    (kept.place / LIVE_SET).write_text("{")
    with pytest.raises(ReleaseError, match=r"live.json: .*damaged"):
        first_release(kept.repository, "shop")


class ArmOf:
    """In place of `ArmServer`."""

    def __init__(self, release: str):
        self.url, self.fault = None, "is being started"


class Arms:
    """In place of `ArmServers`."""

    def __init__(self):
        self.servers, self.background = {}, {}

    def add(self, release: str, repository: Path, background: bool) -> ArmOf:
        assert repository.name == release
        self.background[release] = background
        return self.servers.setdefault(release, ArmOf(release))

    def keep_only(self, servers) -> None:
        self.servers = {name: server for name, server in self.servers.items() if server in servers}


def test_arms_and_shadows_have_servers_and_the_processes_are_told_where(sets, server, follower):
    arms = follower._arms = Arms()
    canary, shadow = Arm("canary", "b", 0.1), Arm("shadow", "c", 0.2)
    live(sets, "a")
    made = sets.change(lambda live: replace(live, arms=(canary,), shadows=(shadow,)), actor="test", reason="")
    follower.look()
    assert server.beside == Beside(
        made.salt, (ArmAddress("canary", "b", 0.1, None),), (ArmAddress("shadow", "c", 0.2, None),), 0.25
    )
    assert server.states == dict.fromkeys(("canary", "shadow"), "is being started")
    assert arms.background == {"b": False, "c": True}
    arms.servers["b"].url, arms.servers["b"].fault = "there", ""
    follower.look()
    assert server.beside.arms == (ArmAddress("canary", "b", 0.1, "there"),) and server.states["canary"] == ""
    sets.change(lambda live: replace(live, arms=()), actor="test", reason="")
    follower.look()
    assert server.beside.arms == () and set(arms.servers) == {"c"} and set(server.states) == {"shadow"}


def test_an_arm_of_another_shape_gets_no_users_and_it_is_said(sets, server, follower, kept, export):
    kept.add(export("other", day=7))
    follower._arms = Arms()
    live(sets, "a")
    sets.change(lambda live: replace(live, arms=(Arm("canary", "other", 0.1),)), actor="test", reason="")
    follower.look()
    assert server.beside.arms == (ArmAddress("canary", "other", 0.1, None),)
    assert "other inputs, outputs or stages" in server.states["canary"]


class Watch:
    """In place of `ReleaseWatch`."""

    def __init__(self):
        self.told, self.why = [], ""

    def begin(self) -> None:
        self.told.append("begin")

    def end(self) -> None:
        self.told.append("end")
        self.why = ""

    def fault(self) -> str:
        return self.why


def test_a_promoted_release_that_does_not_work_is_taken_back_once(sets, server):
    watch = Watch()
    follower = Follower(server, watch)
    follower._arms = Arms()
    live(sets, "b", "a")
    follower.look()
    assert (server.release, watch.told) == ("b", ["begin"])
    watch.why = "3 processes have died"
    follower.look()
    follower.look()
    assert (server.release, watch.told) == ("a", ["begin", "end"])
    line = sets.history().lines[-1]
    assert (line.action, line.reason, line.new["previous"]) == ("taken back", "3 processes have died", "b")
    counted = {action: count for action, count in server.live_set_changes.items() if count}
    assert counted == {"change": 1, "taken back": 1} and server.live_set_changes["rollback"] == 0


def test_a_rollback_is_not_watched(sets, server):
    watch = Watch()
    follower = Follower(server, watch)
    sets.change(lambda before: LiveSet("b", "a"), actor="test", reason="", action="rollback")
    follower.look()
    assert watch.told == ["end"]
