"""A tritonserver that has loaded its model and listens only when it is told to."""

import os
import signal
import time

import pytest
from waiting import HANG_S, wait_until

from cascade.core.errors import ServerError
from cascade.ensemble.client import Client
from cascade.ensemble.server.model_control import ModelControl
from cascade.ensemble.server.ports import claim_ports
from cascade.ensemble.server.server import TritonServer
from cascade.ensemble.server.stubs import running_stubs
from cascade.ensemble.server.triton_process import TritonProcess


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=lambda fault: fault.name)
def test_it_takes_over_when_the_server_ends_and_heals_like_the_first(repository, free, nothing_left, fault):
    config = free.model_copy(update={"standby": True})
    with (
        TritonServer(repository, "cascade", feature_repo=repository, config=config) as server,
        Client(server.grpc_url, timeout=HANG_S) as client,
    ):
        wait_until(server.standby_ready)
        first, standby, url = server.pid, server._supervisor.standby.process.pid, server.grpc_url
        os.kill(first, fault)
        wait_until(lambda: server.pid == standby)
        wait_until(server.ready)
        assert server.grpc_url == url and client.recommend([101])[0].release == server.release
        wait_until(lambda: server.counts()["server_restarts"] == 1)  # counted after the standby answers
        (stub,) = [stub for stub in running_stubs(server.pid) if stub.model == "cascade"]
        os.kill(stub.pid, signal.SIGKILL)
        wait_until(lambda: server.counts()["replaced_instances"] == 1 and server.ready())
        assert client.recommend([101])


def test_a_standby_listens_when_it_is_told_to_and_answers_at_once(repository, free, nothing_left):
    lines, ports = [], claim_ports(free)
    standby = TritonProcess(
        repository,
        free,
        arguments=["--load-model=cascade"],
        environment={"CASCADE_FEATURE_REPO": str(repository)},
        forward=lines.append,
    )
    try:
        standby.start(ports=ports, standby=True)
        standby.wait_until(lambda: any("successfully loaded 'cascade'" in line for line in lines), "cascade")
        time.sleep(0.5)
        with Client(ports.grpc_url, timeout=1) as control, pytest.raises(ServerError):
            control.recommend([101])
        standby.listen(HANG_S)
        with ModelControl(ports.grpc_url, timeout=HANG_S) as control:
            wait_until(control.live)
            assert control.probe()
        assert len([line for line in lines if "successfully loaded" in line]) == 2  # nothing was loaded after it
    finally:
        standby.stop()
