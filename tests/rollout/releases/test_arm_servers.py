"""The servers of arms and shadows, with a fake in place of tritonserver."""

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from cascade.rollout.releases.arm_servers import ArmServers


class Server:
    """In place of `TritonServer`."""

    def __init__(self, name: str, stop: threading.Event):
        self.grpc_url, self.stop = name, stop
        self.process = subprocess.Popen(["sleep", "60"])

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        self.nice = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()

    def answers(self) -> bool:
        return True

    def wait(self, stop: threading.Event, alive) -> None:
        while not stop.wait(0.01):
            alive()


@pytest.fixture
def made():
    return []


@pytest.fixture
def servers(made):
    def make(repository: Path, stop: threading.Event) -> Server:
        made.append(Server(repository.name, stop))
        return made[-1]

    servers = ArmServers(make)
    yield servers
    servers.stop()


def until(true):
    deadline = time.monotonic() + 10
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert true()


def test_a_shadow_only_gets_what_others_leave_of_the_cpu(servers, made):
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    for release, background in (("a", False), ("b", True)):
        server = servers.add(release, Path(release), background)
        until(lambda server=server: server.url)
    assert [one.nice for one in made] == [usual, min(usual + 10, 19)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == usual
    until(lambda: os.sched_getscheduler(made[1].pid) == os.SCHED_IDLE)
    assert os.sched_getscheduler(made[0].pid) == os.sched_getscheduler(0) == os.SCHED_OTHER
    before = made[1].process
    made[1].process = subprocess.Popen(["sleep", "60"])  # as after a crash
    before.kill()
    before.wait()
    until(lambda: os.sched_getscheduler(made[1].pid) == os.SCHED_IDLE)


def test_a_release_has_one_server_while_its_part_is_the_same(servers, made):
    first = servers.add("a", Path("a"), True)
    until(lambda: first.url == "a")
    assert servers.add("a", Path("a"), True) is first
    second = servers.add("a", Path("a"), False)
    servers.keep_only([second, None])
    until(lambda: second.url == "a" and made[0].stop.is_set())
    assert not made[1].stop.is_set()
    assert servers.add("a", Path("a"), True) is second  # an arm that goes on as a shadow need not start again
