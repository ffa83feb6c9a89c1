"""The watchdog, with processes that look like stubs and write pulses; the test process plays the server."""

import os
import signal
import subprocess
import sys
import threading
import time
from itertools import count

import pytest
from shipping import ROOT
from waiting import HANG_S, wait_until

from cascade.core.processes import state_of
from cascade.ensemble.protocol.pulse import PULSE_FILES
from cascade.ensemble.server import shared_memory, stubs, watchdog
from cascade.ensemble.server.runtime import STUB
from cascade.ensemble.server.stubs import running_stubs
from cascade.ensemble.server.watchdog import Watchdog

SCRIPT = """
import sys, time
from cascade.ensemble.triton.pulse_writer import PulseWriter
writer = PulseWriter(sys.argv[1] + "_0", interval=0.01)
writer.start(), writer.ready()
print("up", flush=True)
for line in sys.stdin:
    if line == "hang\\n":
        held = writer.working()
        held.__enter__()
    if line == "freeze\\n":
        writer._stop.set()
    print("done", flush=True)
"""


class Stubs:
    """Starts child processes with the command line of a stub; the region is named like the instance group."""

    def __init__(self, folder):
        self.shared, self.pulses = folder / "shm", str(folder / "shm" / "pulse_")
        self.script = folder / "models" / "toy" / "1" / "model.py"
        self.shared.mkdir()
        self.script.parent.mkdir(parents=True)
        self.script.write_text(SCRIPT)
        self.of = {}

    def start(self, group):
        (self.shared / group).write_text("")
        process = subprocess.Popen(
            [f"/backends/{STUB}", str(self.script), group],
            executable=sys.executable,
            env={**os.environ, "PYTHONPATH": str(ROOT), PULSE_FILES: self.pulses},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "up\n"
        self.of[group] = process

    def tell(self, group, line):
        self.of[group].stdin.write(f"{line}\n")
        self.of[group].stdin.flush()
        assert self.of[group].stdout.readline() == "done\n"

    def end(self, group):
        process = self.of.pop(group)
        process.kill()
        process.communicate()


class Live:
    """Two instances of the model toy; `load` does what Triton would do, and is counted."""

    model, wanted = "toy", 2

    def __init__(self, stubs):
        self.stubs, self.numbers, self.loads, self.errors = stubs, count(), [], []
        self.now = []
        self.refill("toy")
        self.load("toy")

    @property
    def models(self):
        return ["toy"]

    @property
    def full(self):
        return len(self.now) == self.wanted

    @property
    def short(self):
        return [] if self.full else ["toy"]

    def groups(self, model):
        return self.now

    def drop(self, model, groups):
        self.now = [group for group in self.now if group not in groups]

    def refill(self, model, groups=()):
        self.drop(model, groups)
        self.now = [*self.now, *(f"toy-{next(self.numbers)}" for _ in range(self.wanted - len(self.now)))]

    def load(self, model):
        if self.errors:
            raise self.errors.pop()
        self.loads.append(list(self.now))
        for group in set(self.now) - set(self.stubs.of):
            self.stubs.start(group)
        for group in set(self.stubs.of) - set(self.now):
            self.stubs.end(group)


@pytest.fixture
def live(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path / "shm")
    made = Live(Stubs(tmp_path))
    yield made
    made.wanted, made.now, made.errors = 0, [], []
    made.load("toy")


@pytest.fixture
def dog(live, monkeypatch):
    monkeypatch.setattr(stubs, "SILENT_S", 2.0)
    monkeypatch.setattr(stubs, "STUCK_S", 0.3)
    monkeypatch.setattr(watchdog, "_MISSING_S", 0.3)
    dog = Watchdog(os.getpid(), live.stubs.pulses, live, live.load, threading.Lock(), interval=0.02, longest_wait=0.1)
    dog.start()
    assert dog.complete
    yield dog
    dog.stop()


def kill(live, group):
    live.stubs.of[group].kill()


def stop(live, group):
    live.stubs.of[group].send_signal(signal.SIGSTOP)


def hang(live, group):
    live.stubs.tell(group, "hang")


def freeze(live, group):
    live.stubs.tell(group, "freeze")


FAULTS = [(kill, "died"), (stop, "is stopped"), (hang, "does not finish a pass"), (freeze, "gives no sign of life")]
BY_NAME = [fault.__name__ for fault, _ in FAULTS]


def test_stubs_are_found_with_model_and_region(live):
    assert {(stub.model, stub.region) for stub in running_stubs(os.getpid())} == {("toy", "toy-0"), ("toy", "toy-1")}


@pytest.mark.parametrize(("fault", "text"), FAULTS, ids=BY_NAME)
def test_one_that_does_not_work_is_taken_out_and_then_replaced_and_the_others_stay(live, dog, caplog, fault, text):
    pid = live.stubs.of["toy-0"].pid
    fault(live, "toy-0")
    wait_until(lambda: dog.healed == 1 and dog.complete, 0.01)
    assert live.loads[1:] == [["toy-1"], ["toy-1", "toy-2"]]
    assert f"process {pid} of model toy {text}, replacing it" in caplog.text
    assert not (live.stubs.shared / "toy-0").exists()  # its region
    assert {file.name for file in live.stubs.shared.glob("pulse_*")} == {
        f"pulse_{live.stubs.of[group].pid}.{group}_0" for group in ("toy-1", "toy-2")
    }
    assert state_of(pid) == ""


@pytest.mark.parametrize(("fault", "text"), FAULTS, ids=BY_NAME)
def test_if_none_works_all_are_replaced_at_once(live, dog, fault, text):
    for group in ("toy-0", "toy-1"):
        fault(live, group)
    wait_until(lambda: dog.complete and dog.healed == 2, 0.01)
    assert not {"toy-0", "toy-1"} & set(live.now)
    assert all(load for load in live.loads)  # Triton does not allow a model without instances


def test_it_is_not_complete_until_the_new_one_is_there(live, dog):
    kill(live, "toy-0")
    live.stubs.of["toy-0"].wait()
    assert not dog.complete  # before it has looked
    wait_until(lambda: dog.complete, 0.01)


def test_the_replacement_is_watched_as_well(live, dog):
    for number in range(3):
        kill(live, live.now[0])
        wait_until(lambda number=number: dog.healed == number + 1 and dog.complete, 0.01)


def test_a_load_that_fails_is_tried_again_and_logged(live, dog, caplog):
    live.errors = [RuntimeError("not\nyet")] * 3
    kill(live, "toy-0")
    wait_until(lambda: dog.complete and live.loads[-1] != live.loads[0], 0.01)
    assert caplog.text.count("a process cannot be replaced: not yet; next try") == 3


def test_one_that_was_replaced_and_goes_on_is_ended(live, dog, monkeypatch, caplog):
    monkeypatch.setattr(watchdog, "_LEAVE_S", 0.2)
    live.stubs.start("toy-9")
    process = live.stubs.of["toy-9"]
    assert process.wait(HANG_S) == -9
    assert "was replaced and still runs" in caplog.text
    assert dog.complete and len(live.loads) == 1


def test_what_is_to_be_replaced_goes_on_for_as_long_as_the_load_takes(live, dog, monkeypatch):
    """It is what answers. It does not count any more among those that have to hold other releases."""
    monkeypatch.setattr(watchdog, "_LEAVE_S", 0.1)
    with dog._loading:
        live.stubs.start("toy-9")
        process = live.stubs.of["toy-9"]
        wait_until(lambda: process.pid in dog.pids, 0.01)
        looks = dog._looks
        wait_until(lambda: dog._looks > looks + 20, 0.01)
        assert process.poll() is None
        assert len(dog.pulses) == 2
    assert process.wait(HANG_S) == -9


def test_a_group_without_a_process_gets_one(live, dog):
    live.now = [*live.now[:1], "toy-7"]
    wait_until(lambda: live.loads[-1][-1] == "toy-2" and dog.complete, 0.01)


def test_a_model_that_was_unloaded_is_loaded(live, dog, caplog):
    dog.load_again()
    wait_until(lambda: len(live.loads) == 2, 0.01)
    assert "model toy is not loaded, loading it" in caplog.text


def test_it_says_that_the_disk_keeps_it_from_replacing_processes(live, dog, monkeypatch):
    """Then another server is started in place of one without any process, see `Session.fault`."""
    refill = live.refill

    def full(*_):
        raise OSError(28, "No space left on device")

    assert not dog.stuck
    monkeypatch.setattr(live, "refill", full)
    kill(live, "toy-0")
    kill(live, "toy-1")
    wait_until(lambda: dog.stuck and not dog.any_well, 0.01)
    monkeypatch.setattr(live, "refill", refill)
    wait_until(lambda: not dog.stuck and dog.complete, 0.01)


def test_nothing_is_replaced_while_others_load(live, dog):
    with dog._loading:
        kill(live, "toy-0")
        wait_until(lambda: dog._healer is not None, 0.01)
        time.sleep(0.1)
        assert len(live.loads) == 1
    wait_until(lambda: dog.complete, 0.01)


def test_a_busy_machine_is_no_hang(live):
    """Looks that come seconds late say nothing about the processes: those that pass between two looks count little."""
    dog = Watchdog(os.getpid(), live.stubs.pulses, live, live.load, threading.Lock(), interval=0.1)
    freeze(live, "toy-0")
    dog.look()
    for _ in range(10):
        dog._last -= 60.0
        dog.look()
    assert dog.complete
    for _ in range(10):
        dog._last -= 60.0
        dog.look()
    assert not dog.complete
