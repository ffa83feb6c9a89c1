"""The watchdog and the hang check, with processes that look like stubs; the test process plays the server."""

import os
import subprocess
import sys
import threading
import time

import pytest
from waiting import HANG_S, wait_until

from cascade.core.errors import ServerError
from cascade.ensemble.protocol.call_errors import NoAnswerError
from cascade.ensemble.server import hang_check, shared_memory
from cascade.ensemble.server.hang_check import HangCheck
from cascade.ensemble.server.runtime import STUB
from cascade.ensemble.server.stubs import running_stubs
from cascade.ensemble.server.watchdog import Watchdog


@pytest.fixture
def spawn(tmp_path, monkeypatch):
    """Starts child processes with the command line of a stub."""
    shared = tmp_path / "shm"
    shared.mkdir()
    monkeypatch.setattr(shared_memory, "FOLDER", shared)
    script = tmp_path / "models" / "toy" / "1" / "model.py"
    script.parent.mkdir(parents=True)
    script.write_text("import time\nprint('up', flush=True)\ntime.sleep(900)\n")
    started = []

    def start(region="region_1"):
        (shared / region).write_text("")
        command = [f"/backends/{STUB}", str(script), region]
        process = subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE)
        process.stdout.readline()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def await_calls(calls, count):
    wait_until(lambda: len(calls) >= count, 0.01)


def test_stubs_are_found_with_model_and_region(spawn):
    process = spawn()
    (stub,) = running_stubs(os.getpid())
    assert (stub.process.pid, stub.model, stub.region, stub.dead) == (process.pid, "toy", "region_1", False)


def test_the_model_of_a_killed_stub_is_reloaded_once(spawn, tmp_path):
    process, loaded = spawn(), []
    dog = Watchdog(os.getpid(), loaded.append, interval=0.01)
    dog.start()
    process.kill()
    await_calls(loaded, 1)
    time.sleep(0.2)
    dog.stop()
    assert loaded == ["toy"]
    assert not (tmp_path / "shm" / "region_1").exists()


def test_a_stub_that_its_server_ends_is_not_replaced(spawn):
    process, loaded = spawn(), []
    dog = Watchdog(os.getpid(), loaded.append, interval=0.1)
    dog.start()
    process.kill()
    process.wait()  # reaped, as Triton does with a stub that it has ended
    time.sleep(0.5)
    dog.stop()
    assert loaded == []


def test_the_replacement_is_watched_as_well(spawn):
    first, loaded, second = spawn(), [], []

    def load(model):
        loaded.append(model)
        if len(loaded) == 1:
            second.append(spawn("region_2"))

    dog = Watchdog(os.getpid(), load, interval=0.01)
    dog.start()
    first.kill()
    await_calls(second, 1)
    time.sleep(0.1)
    second[0].kill()
    await_calls(loaded, 2)
    dog.stop()


def test_a_replaced_stub_that_does_not_end_is_killed(spawn, tmp_path):
    killed, sibling = spawn(), spawn("region_2")
    loaded, new = [], []

    def load(model):
        loaded.append(model)
        new.append(spawn("region_3"))

    dog = Watchdog(os.getpid(), load, interval=0.01, leave=0.3)
    dog.start()
    killed.kill()
    await_calls(new, 1)
    assert sibling.poll() is None  # it may still have requests to answer
    assert sibling.wait(HANG_S) == -9
    time.sleep(0.1)
    dog.stop()
    assert loaded == ["toy"] and new[0].poll() is None
    assert [file.name for file in (tmp_path / "shm").iterdir()] == ["region_3"]


def test_a_load_that_fails_is_tried_again_and_logged(spawn, caplog):
    process, tries, healed = spawn(), [], threading.Event()

    def load(model):
        tries.append(time.monotonic())
        if len(tries) < 3:
            raise RuntimeError("not\nyet")
        healed.set()

    dog = Watchdog(os.getpid(), load, interval=0.01, longest_wait=0.2)
    dog.start()
    process.kill()
    assert healed.wait(HANG_S)
    dog.stop()
    assert len(tries) == 3
    assert "model toy: not yet; next try" in caplog.text
    assert tries[1] - tries[0] >= 0.2


def no_answer():
    raise NoAnswerError("no answer in time")


def other_error():
    raise ServerError("not healthy")


def counting():
    seen = []
    return lambda: seen.append(0) or len(seen)


def test_a_stub_that_answers_nobody_is_killed(spawn):
    process = spawn()
    check = HangCheck(os.getpid(), no_answer, lambda: 5, interval=0.01)
    check.start()
    assert process.wait(HANG_S) == -9
    check.stop()


@pytest.mark.parametrize(
    ("probe", "answered"),
    [(no_answer, counting()), (other_error, lambda: 5), (lambda: "release", lambda: 5)],
    ids=["others are answered", "an error is an answer", "all is well"],
)
def test_a_stub_that_answers_is_not_killed(spawn, probe, answered):
    process = spawn()
    check = HangCheck(os.getpid(), probe, answered, interval=0.01)
    check.start()
    time.sleep(0.3)
    check.stop()
    assert process.poll() is None


def test_new_stubs_get_more_probes_until_one_answers(monkeypatch):
    probes, killed_after = [], []
    finished = threading.Event()

    def probe():
        probes.append(0)
        if len(probes) == 20:
            finished.set()
        if len(probes) != 15:
            raise NoAnswerError("no answer in time")

    monkeypatch.setattr(hang_check, "running_stubs", lambda pid: killed_after.append(len(probes)) or [])
    check = HangCheck(os.getpid(), probe, lambda: 5, interval=0.001)
    check.start()
    assert finished.wait(HANG_S)
    check.stop()
    assert killed_after[:4] == [2, 2 + 4, 2 + 4 + 8, 15 + 2]
