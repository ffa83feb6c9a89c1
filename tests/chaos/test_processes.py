"""Each process of a server is killed and frozen, under load. `cascade bench --chaos` does it longer, and times it."""

import os

import pytest

from cascade.bench.chaos.faults import SIGNALS, as_text, break_everything, kinds
from cascade.bench.chaos.steady_load import SteadyLoad, grpc_endpoint, http_endpoint
from cascade.ensemble.server.server import TritonServer
from cascade.ensemble.server.status import ServerStatus

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    from cascade.ensemble.config import ServerConfig
    from cascade.testing.miniature import miniature_repository

    folder = tmp_path_factory.mktemp("chaos") / "models"
    miniature_repository(folder)
    config = ServerConfig(http_port=0, grpc_port=0, metrics_port=0, instances=2, max_restarts=1000)

    def ready():
        return ServerStatus.read(server.status_file).ready

    with (
        TritonServer(folder, "cascade", feature_repo=folder, config=config, forward=lambda line: None) as server,
        SteadyLoad(grpc_endpoint(server.grpc_url, "cascade", ready), range(100, 120), rate=50) as load,
    ):
        assert kinds(server) == 4 * len(SIGNALS)
        broken = break_everything(server, load, times=1)
        with SteadyLoad(http_endpoint(server.http_url, "cascade"), range(100, 120), rate=20) as http:
            broken += break_everything(server, http, times=1, gateway=True)
        yield broken
        assert server.ready()
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(f"cascade_{os.getpid()}_")]


def test_every_process_was_broken_and_everything_got_whole_again(faults):
    assert [(fault.signal, fault.process) for fault in faults] == [
        *((sign, process) for sign in SIGNALS for process in ("instance 0", "instance 1", "tritonserver")),
        *((sign, "gateway") for sign in SIGNALS),
    ]
    print(as_text(faults))


def test_one_of_two_instances_fails_no_more_than_it_held(faults):
    """A dead instance fails one batch: what it was answering, or what Triton gave it before the watchdog looked."""
    for fault in faults:
        if fault.process.startswith("instance"):
            assert fault.noticed.failed <= fault.noticed.in_flight + 32
            assert all("is not healthy" in error for error in fault.noticed.errors)


def test_it_is_not_ready_while_nobody_answers(faults):
    assert sum(fault.noticed.false_ready for fault in faults) == 0
