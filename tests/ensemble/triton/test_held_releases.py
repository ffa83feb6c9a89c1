"""The releases that a model process holds: it does what the server's file says, or says that it cannot."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import wait_until

from cascade.core.errors import ArtifactError
from cascade.ensemble.protocol.serving_file import SERVING_FILE, Serving, release_folder
from cascade.ensemble.triton import held_releases
from cascade.ensemble.triton.held_releases import HeldReleases


class Pulse:
    """Notes what the process says of itself."""

    def __init__(self):
        self.generation = self.failure = 0

    def reached(self, generation):
        self.generation = generation

    def failed(self, generation):
        self.failure = generation


def write(folder, release):
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"release": release, "created": "", "model": "shop", "pipeline": "shop", "parts": {}, "notices": []}
    (folder / "release.json").write_text(json.dumps(facts))


def load(folder):
    release = json.loads((folder / "release.json").read_text())["release"]
    if release.startswith("broken"):
        raise ArtifactError(f"{folder}: damaged")
    return SimpleNamespace(release={"release": release})


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The server's file; releases a to c lie beside it, and a broken one. The process is started for ``own``."""
    monkeypatch.setenv(SERVING_FILE, str(tmp_path / "serving.json"))
    monkeypatch.setattr(held_releases, "warm_up", lambda executor: None)
    monkeypatch.setattr(held_releases, "freeze_garbage_collector", lambda: None)
    write(tmp_path / "own", "own")
    for release in ("a", "b", "c", "broken"):
        write(release_folder(tmp_path / "serving.json", release), release)
    return tmp_path / "serving.json"


@pytest.fixture
def pulse():
    return Pulse()


def made(file, pulse):
    return HeldReleases(file.parent / "own", load, pulse, interval=0.001)


SERVINGS = st.lists(
    st.tuples(
        st.sampled_from(["own", "a", "b", "c", "broken", "unknown"]), st.sets(st.sampled_from(["own", "a", "b"]))
    ),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SERVINGS)
def test_it_holds_exactly_what_the_file_says_or_what_it_had(file, servings):
    file.unlink(missing_ok=True)
    pulse, loaded, dropped = Pulse(), [], []
    releases = made(file, pulse)
    releases._on_load, releases._on_drop = loaded.append, dropped.append
    active = "own"
    for generation, (wanted, kept) in enumerate(servings, 1):
        before = set(releases.held)
        releases.follow(Serving(generation, wanted, tuple(kept)))
        if wanted == "broken":
            assert pulse.failure == generation and pulse.generation < generation
            assert before <= set(releases.held)
        elif wanted == "unknown":
            assert generation not in (pulse.generation, pulse.failure)
        else:
            active = wanted
            assert pulse.generation == generation
            assert set(releases.held) == {wanted, *kept}
        assert releases.active is releases.held[active]
    assert len(loaded) == len(set(map(id, loaded)))
    assert len(releases.held) == 1 + len(loaded) - len(dropped)


def test_one_that_is_held_answers_again_without_being_loaded(file, pulse):
    releases = made(file, pulse)
    own = releases.active
    releases.follow(Serving(1, "a", ("own",)))
    releases.follow(Serving(2, "own", ("a",)))
    assert releases.active is own


def test_it_follows_the_file(file, pulse):
    releases = made(file, pulse)
    releases.start()
    try:
        for generation, release in enumerate(["a", "broken", "b"], 1):
            Serving(generation, release).write(file)
            wait_until(lambda number=generation: number in (pulse.generation, pulse.failure), 0.001)
        assert releases.active.release["release"] == "b" and (pulse.generation, pulse.failure) == (3, 2)
    finally:
        releases.stop()


def test_a_process_that_starts_later_begins_with_the_one_that_answers(file, pulse):
    Serving(7, "b", ("own",)).write(file)
    releases = made(file, pulse)
    assert set(releases.held) == {"b"}
    releases.start()
    try:
        wait_until(lambda: pulse.generation == 7, 0.001)
        assert set(releases.held) == {"b", "own"}
    finally:
        releases.stop()


def test_what_other_processes_are_started_for_it_leaves_to_them(file, pulse):
    """Their release lies where its own lay."""
    releases = made(file, pulse)
    write(file.parent / "own", "next")
    releases.follow(Serving(1, "next"))
    assert releases.active.release["release"] == "own" and pulse.generation == 0


def test_without_a_server_that_writes_it_has_its_own(file, pulse, monkeypatch):
    monkeypatch.delenv(SERVING_FILE)
    releases = made(file, pulse)
    releases.start()
    releases.stop()
    assert set(releases.held) == {"own"}


def test_a_broken_own_release_ends_the_start(file, pulse):
    write(file.parent / "own", "broken")
    with pytest.raises(ArtifactError, match="damaged"):
        made(file, pulse)


def test_a_step_of_an_ensemble_holds_its_own_release_alone(file, pulse):
    """What lies beside is for fused models; its own folder is for those that are started for it."""
    releases = HeldReleases(file.parent / "own", load, pulse, joins=False)
    for number, active in enumerate(("own", "a", "broken", "own"), start=1):
        releases.follow(Serving(number, active))
        assert set(releases.held) == {"own"}
    assert pulse.generation == 4 and pulse.failure == 0
