"""The supervisor, with sessions that fail when a test wants; and the status for other processes."""

import json
import os
import time

import pytest
from waiting import wait_until

from cascade.core.errors import CrashError, ServerError
from cascade.ensemble.config import ServerConfig
from cascade.ensemble.server import supervisor as supervisor_module
from cascade.ensemble.server.status import STALE_S, ServerStatus
from cascade.ensemble.server.supervisor import Restarts, Supervisor


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_the_first_restarts_come_at_once_and_a_series_slows_down():
    clock = Clock()
    restarts = Restarts(ServerConfig(max_restarts=100), clock)
    assert [restarts.next_wait() for _ in range(11)] == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]
    clock.now += 61
    assert restarts.next_wait() == 0


def test_there_are_so_many_within_an_hour():
    clock = Clock()
    restarts = Restarts(ServerConfig(max_restarts=2), clock)
    assert [restarts.next_wait() for _ in range(3)] == [0, 0, None]
    clock.now += 3601
    assert restarts.next_wait() == 0


def test_never_is_never():
    assert Restarts(ServerConfig(restart="never")).next_wait() is None


class FakeSession:
    replaced = 1

    def __init__(self):
        self.cause, self.stopped, self.is_warm, self.took_over, self.error = None, [], True, 0, None
        self.gone = False

    def all_gone(self):
        return self.gone

    def fault(self):
        return self.cause

    def standby_fault(self):
        return self.cause

    def ready(self):
        return True

    def warm(self):
        return self.is_warm

    def take_over(self):
        if self.error:
            raise self.error
        self.took_over += 1

    def stop(self, grace_s=None):
        self.stopped.append(grace_s)


@pytest.fixture
def supervise():
    started = []

    def start(make, make_standby=None, **config):
        first = FakeSession()
        restarts = Restarts(ServerConfig(**config))
        started.append(Supervisor(first, make, restarts, make_standby=make_standby, interval=0.01))
        started[-1].start()
        return started[-1], first

    yield start
    for supervisor in started:
        supervisor.stop()


def makes(session):
    def make(adopt):
        adopt(session)
        return session

    return make


def test_a_session_that_fails_is_ended_at_once_and_replaced(supervise, caplog):
    second = FakeSession()
    supervisor, first = supervise(makes(second))
    first.cause = "tritonserver is stopped"
    wait_until(lambda: supervisor.session is second and supervisor.restarted == 1, 0.01)
    assert first.stopped == [0]
    assert "tritonserver is stopped; starting it again" in caplog.text and "answers again after" in caplog.text
    supervisor.stop()
    assert second.stopped


def test_a_start_that_fails_counts_and_is_tried_again(supervise, caplog):
    tries, second = [], FakeSession()

    def make(adopt):
        tries.append(0)
        session = FakeSession() if len(tries) < 3 else second
        session.cause = None if session is second else "the server does not run"
        adopt(session)
        if session is not second:
            raise ServerError("no room")
        return session

    supervisor, first = supervise(make)
    first.cause = "tritonserver ended with code -9: it wrote nothing"
    wait_until(lambda: supervisor.restarted == 1, 0.01)
    assert len(tries) == 3 and supervisor.session is second
    assert caplog.text.count("cannot be started again: no room") == 2


def test_after_too_many_it_gives_up(supervise):
    broken = FakeSession()
    broken.cause = "tritonserver ended with code 1"
    supervisor, first = supervise(makes(broken), max_restarts=2)
    first.cause = "tritonserver ended with code -9"
    wait_until(lambda: supervisor.crash, 0.01)
    assert isinstance(supervisor.crash, CrashError) and isinstance(supervisor.crash, ServerError)
    assert "ended with code 1" in str(supervisor.crash) and "server.max_restarts" in str(supervisor.crash)


@pytest.fixture
def hurry(monkeypatch):
    monkeypatch.setattr(supervisor_module, "_CALM_S", 0.0)
    monkeypatch.setattr(supervisor_module, "_RETRY_S", 0.05)


class Standbys:
    """Makes standbys, and keeps them in ``made``."""

    def __init__(self):
        self.made = []

    def __call__(self):
        self.made.append(FakeSession())
        return self.made[-1]


def test_a_warm_standby_takes_over_and_another_one_is_started(supervise, hurry, caplog):
    standbys, cold = Standbys(), FakeSession()
    supervisor, first = supervise(makes(cold), standbys)
    wait_until(lambda: supervisor.standby, 0.01)
    first.cause = "tritonserver is stopped"
    wait_until(lambda: supervisor.restarted == 1 and len(standbys.made) == 2, 0.01)
    assert supervisor.session is standbys.made[0] and standbys.made[0].took_over == 1
    assert first.stopped == [0] and "its standby takes over" in caplog.text
    assert supervisor.replaced == 2  # those of the first session count on


def test_a_warm_standby_takes_over_from_a_server_whose_processes_are_all_gone(supervise, hurry):
    standbys = Standbys()
    supervisor, first = supervise(makes(FakeSession()), standbys)
    first.gone = True  # without a standby the watchdog replaces them
    wait_until(lambda: supervisor.restarted == 1, 0.01)
    assert supervisor.session is standbys.made[0]


@pytest.mark.parametrize("wrong", ["cold", ServerError("no"), OSError(28, "No space left on device"), KeyError("?")])
def test_without_one_that_can_take_over_it_is_started_from_cold(supervise, hurry, wrong):
    standbys, cold = Standbys(), FakeSession()
    supervisor, first = supervise(makes(cold), standbys)
    wait_until(lambda: supervisor.standby, 0.01)
    if wrong == "cold":
        standbys.made[0].is_warm = False
    else:
        standbys.made[0].error = wrong
    first.cause = "tritonserver ended with code -9"
    wait_until(lambda: supervisor.session is cold and supervisor.restarted == 1, 0.01)
    assert standbys.made[0].stopped[0] == 0


def test_a_standby_that_fails_or_is_out_of_date_is_replaced_and_nothing_else(supervise, hurry):
    standbys = Standbys()
    supervisor, first = supervise(makes(FakeSession()), standbys)
    wait_until(lambda: supervisor.standby, 0.01)
    standbys.made[0].cause = "tritonserver is stopped"
    wait_until(lambda: len(standbys.made) == 2, 0.01)
    supervisor.renew_standby()
    wait_until(lambda: len(standbys.made) == 3, 0.01)
    assert [standby.stopped for standby in standbys.made[:2]] == [[0], [0]]
    assert supervisor.session is first and not first.stopped and supervisor.restarted == 0
    supervisor.stop()
    assert standbys.made[2].stopped


def test_a_standby_that_cannot_be_started_is_tried_again(supervise, hurry, caplog):
    tries = []

    def make():
        tries.append(0)
        raise ServerError("no room")

    supervisor, first = supervise(makes(FakeSession()), make)
    wait_until(lambda: len(tries) > 1, 0.01)
    assert "no standby yet: no room" in caplog.text and not first.stopped


def test_nothing_is_started_after_a_stop(supervise):
    supervisor, first = supervise(makes(FakeSession()))
    supervisor.stop()
    with pytest.raises(CrashError, match="stopped"):
        supervisor._adopt(FakeSession())


def test_an_error_of_its_own_does_not_end_the_watch(supervise, caplog):
    supervisor, first = supervise(makes(FakeSession()))
    supervisor._on_look = lambda: 1 / 0
    wait_until(lambda: "goes on after an error" in caplog.text, 0.01)
    supervisor._on_look = lambda: None
    first.cause = "tritonserver ended with code -9"
    wait_until(lambda: supervisor.restarted == 1, 0.01)


def test_a_status_is_read_as_it_was_written(tmp_path):
    file = tmp_path / "status"
    assert ServerStatus.read(file) == ServerStatus()
    ServerStatus(True, "one", {"server_restarts": 2}, [os.getpid()], "no").write(file)
    status = ServerStatus.read(file)
    assert status.ready and status.counts == {"server_restarts": 2} and status.reload_error == "no"
    file.write_text("{}x")
    assert not ServerStatus.read(file).ready


def test_a_status_that_is_old_or_whose_processes_are_gone_is_not_ready(tmp_path):
    file = tmp_path / "status"
    ServerStatus(True, processes=[os.getpid()]).write(file)
    facts = json.loads(file.read_text())
    file.write_text(json.dumps({**facts, "at": time.monotonic() - STALE_S - 1}))
    assert not ServerStatus.read(file).ready
    ServerStatus(True, processes=[os.getpid(), 2**22 + 1]).write(file)
    assert not ServerStatus.read(file).ready
