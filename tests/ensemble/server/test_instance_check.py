"""A model that was loaded with another number of instances gets its own again."""

import threading

import pytest
from waiting import HANG_S

from cascade.core.errors import ServerError
from cascade.ensemble.server.instance_check import InstanceCheck


class Server:
    def __init__(self, instances: int) -> None:
        self.instances, self.loads, self.up, self.looked = instances, 0, True, threading.Event()

    def count(self) -> int:
        self.looked.set()
        if not self.up:
            raise ServerError("down")
        return self.instances

    def load(self) -> None:
        self.loads += 1
        self.instances = 2


@pytest.mark.parametrize(("instances", "loads"), [(1, 1), (2, 0), (3, 1)])
def test_it_is_loaded_if_it_has_another_number(instances: int, loads: int) -> None:
    server = Server(instances)
    check = InstanceCheck(2, server.count, server.load)
    check.look()
    check.look()
    assert (server.loads, server.instances) == (loads, 2)


def test_a_server_that_does_not_answer_is_left_alone() -> None:
    server = Server(1)
    server.up = False
    InstanceCheck(2, server.count, server.load).look()
    assert server.loads == 0


def test_a_thread_looks_until_it_is_stopped() -> None:
    server = Server(2)
    check = InstanceCheck(2, server.count, server.load, interval=0.01)
    check.start()
    assert server.looked.wait(HANG_S)
    check.stop()
    server.instances = 1
    check.look()
    assert server.loads == 0
