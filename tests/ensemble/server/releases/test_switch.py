"""Another release in processes that run: threads stand in for them, which do what real ones do with the file."""

import json
import shutil

import pytest
from waiting import HANG_S

from cascade.core.errors import ServerError
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.protocol.pulse import Pulse
from cascade.ensemble.protocol.serving_file import SERVING_FILE, ArmAddress, Beside, Serving, release_folder
from cascade.ensemble.repository.digests import write_digests
from cascade.ensemble.server.releases import version_copy
from cascade.ensemble.server.releases.switch import ReleaseSwitch, alike
from cascade.ensemble.server.served_model import config_file
from cascade.ensemble.triton.held_releases import HeldReleases
from cascade.testing.miniature import miniature_repository


class Process:
    def __init__(self, own):
        self.pulse = Pulse(ready=True)
        self.releases = HeldReleases(own, Executor.load, self, interval=0.001)
        self.releases.start()

    def reached(self, generation):
        self.pulse = Pulse(ready=True, generation=generation, failed=self.pulse.failed)

    def failed(self, generation):
        self.pulse = Pulse(ready=True, generation=self.pulse.generation, failed=generation)

    @property
    def active(self):
        return self.releases.active.release["release"]


def publish(repository, release, change=lambda version: None, config=None):
    miniature_repository(repository)
    version = repository / "cascade" / "1"
    facts = json.loads((version / "release.json").read_text())
    (version / "release.json").write_text(json.dumps({**facts, "release": release}))
    text = config or (repository / "cascade" / "config.pbtxt").read_text()
    (repository / "cascade" / "config.pbtxt").write_text(text)
    write_digests(version, text)
    change(version)
    return repository


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    return {name: publish(folder / name, name) for name in ("one", "two", "three")}


@pytest.fixture
def processes():
    return []


@pytest.fixture
def switch(published, processes, tmp_path, monkeypatch):
    monkeypatch.setattr(version_copy, "_TRIES", 1)
    file = tmp_path / "serving.json"
    monkeypatch.setenv(SERVING_FILE, str(file))
    made = ReleaseSwitch("cascade", file, lambda: [one.pulse for one in processes], 1 << 30, HANG_S)
    made.begin("one")
    processes += [Process(published["one"] / "cascade" / "1") for _ in range(2)]
    yield made
    for process in processes:
        process.releases.stop()


def folders(switch):
    return {entry.name for entry in release_folder(switch._file, "x").parent.glob("*")}


def test_a_release_is_loaded_beside_the_one_that_answers_and_then_answers(switch, processes, published):
    assert switch.hold(published["two"]) == "two"
    assert [(one.active, set(one.releases.held)) for one in processes] == [("one", {"one", "two"})] * 2
    switch.activate("two")
    assert [(one.active, set(one.releases.held)) for one in processes] == [("two", {"one", "two"})] * 2
    switch.activate("one")
    assert [(one.active, set(one.releases.held)) for one in processes] == [("one", {"one", "two"})] * 2
    switch.activate(switch.hold(published["three"]))  # only the one before stays
    assert [(one.active, set(one.releases.held)) for one in processes] == [("three", {"one", "three"})] * 2
    assert folders(switch) == {"three"}


def test_what_is_loaded_is_not_loaded_again(switch, processes, published):
    switch.hold(published["two"])
    generation = switch.generation
    switch.hold(published["two"])
    switch.hold(published["one"])
    assert switch.generation == generation


@pytest.mark.parametrize(
    "damage",
    [
        lambda version: (version / "graph.json").unlink(),
        lambda version: (version / "graph.json").write_text("{"),
        lambda version: (version / "digests.json").unlink(),
        shutil.rmtree,
    ],
    ids=["gone", "truncated", "no digests", "everything"],
)
def test_one_whose_files_are_damaged_is_refused_and_nothing_changes(switch, processes, tmp_path, damage):
    with pytest.raises(ServerError, match="cannot be copied"):
        switch.hold(publish(tmp_path / "bad", "bad", damage))
    assert [(one.active, set(one.releases.held)) for one in processes] == [("one", {"one"})] * 2
    assert (switch.active, switch.kept, folders(switch)) == ("one", (), set())


def test_one_that_a_process_cannot_load_is_refused_and_nothing_changes(switch, processes, published, tmp_path):
    def unknown_op(version):
        text = (version / "graph.json").read_text().replace('"retrieve"', '"retreive"', 1)
        (version / "graph.json").write_text(text)
        write_digests(version, (version.parent / "config.pbtxt").read_text())

    switch.hold(published["two"])
    with pytest.raises(ServerError, match="release bad cannot be loaded"):
        switch.hold(publish(tmp_path / "bad", "bad", unknown_op))
    assert (switch.active, switch.kept, folders(switch)) == ("one", ("two",), {"two"})
    switch.activate("two")  # the processes go on
    assert {one.active for one in processes} == {"two"}


def test_processes_that_are_to_be_replaced_go_on_with_theirs(switch, processes, published):
    switch.hold(published["two"])
    switch.activate("two")
    with pytest.raises(ServerError, match="no"), switch.replacing("other"):
        assert {one.active for one in processes} == {"two"}
        raise ServerError("no")
    assert Serving.read(switch._file) == Serving(switch.generation, "two", ("one",))
    with switch.replacing("other"):
        pass
    assert (switch.active, switch.kept, folders(switch)) == ("other", (), set())
    assert {one.active for one in processes} == {"two"}


def test_processes_that_are_started_later_answer_with_one_that_was_held(switch, processes, published, tmp_path):
    switch.activate(switch.hold(published["two"]))
    while processes:
        processes.pop().releases.stop()
    assert switch.restored(published["three"]) is None and switch.active == "two"
    assert switch.restored(published["one"]) == "one" == switch.active
    assert switch.restored(published["one"]) == "one"
    processes.append(Process(published["one"] / "cascade" / "1"))
    assert processes[0].active == "one"


@pytest.mark.parametrize("failures", [1, 2])
def test_a_full_disk_changes_nothing_and_the_next_try_works(switch, processes, published, monkeypatch, failures):
    switch.hold(published["two"])
    write, left = Serving.write, [failures]

    def full(serving, file):
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(28, "No space left on device")
        write(serving, file)

    monkeypatch.setattr(Serving, "write", full)
    asked = Beside("salt", (ArmAddress("canary", "three", 0.1, None),))
    for _ in range(failures):
        with pytest.raises(OSError, match="No space"):
            switch.activate("two") if failures == 1 else switch.ask_beside(asked)
    assert {one.active for one in processes} == {"one"} == {switch.active}
    switch.ask_beside(asked)
    switch.activate("two")
    assert {one.active for one in processes} == {"two"} == {switch.active}
    assert Serving.read(switch._file).beside == asked


def test_a_load_that_fails_while_the_disk_is_full_leaves_it_to_the_next_try(switch, processes, published, monkeypatch):
    switch.hold(published["two"])
    write, failing = Serving.write, iter([False, True])

    def full_at_the_second(serving, file):
        if next(failing, False):
            raise OSError(28, "No space left on device")
        write(serving, file)

    monkeypatch.setattr(Serving, "write", full_at_the_second)
    monkeypatch.setattr(switch, "_within_s", 0.0)
    for process in processes:
        process.releases.stop()
    with pytest.raises(OSError, match="No space"):
        switch.activate("two")
    assert switch.active == "one"
    assert Serving.read(switch._file).active == "two"  # so the next try must write again
    with pytest.raises(ServerError, match="not loaded in"):
        switch.activate("two")
    assert Serving.read(switch._file).active == "one"


def test_only_a_fused_model_of_the_same_inputs_outputs_and_stages_fits(switch, published, tmp_path):
    like = published["one"] / "cascade" / "config.pbtxt"
    assert switch.fits(published["two"], like)
    text = like.read_text()
    queue = publish(tmp_path / "queue", "q", config=text.replace('"1024"', '"7"'))
    assert not switch.fits(queue, like) and alike(config_file(queue, "cascade"), like)
    other = publish(tmp_path / "output", "o", config=text.replace("TYPE_FP32", "TYPE_FP64", 1))
    assert not switch.fits(other, like) and not alike(config_file(other, "cascade"), like)
    (tmp_path / "two").mkdir()
    shutil.copytree(published["two"], tmp_path / "two", dirs_exist_ok=True)
    (tmp_path / "two/cascade/1/more.json").write_text("{}")
    write_digests(tmp_path / "two/cascade/1", text)
    assert switch.fits(tmp_path / "two", like)
    switch.hold(published["two"])
    assert not switch.fits(tmp_path / "two", like)  # other files under an id that is loaded
