"""The ensemble layout heals as the fused one does: a killed step is loaded again and the ensemble answers."""

import os
import signal

import pytest
from waiting import wait_until

from cascade.core.errors import CascadeError
from cascade.ensemble.client import Client
from cascade.ensemble.server.server import TritonServer
from cascade.ensemble.server.stubs import running_stubs


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory, free):
    from cascade.testing.miniature import SERVING, miniature_repository

    folder = tmp_path_factory.mktemp("ensemble") / "models"
    miniature_repository(folder, serving=SERVING.model_copy(update={"layout": "ensemble"}))
    with TritonServer(folder, "cascade", feature_repo=folder, config=free) as running:
        yield running


def stubs(server):
    return {stub.model: stub.process.pid for stub in running_stubs(server.pid)}


@pytest.mark.parametrize(("step", "fault"), [("rank", signal.SIGKILL), ("respond", signal.SIGSTOP)])
def test_a_step_that_dies_or_is_stopped_is_replaced_and_the_others_stay(ensemble, step, fault):
    with Client(ensemble.grpc_url) as client:
        before = client.recommend([101])[0].items
        old = stubs(ensemble)
        os.kill(old[f"cascade_{step}"], fault)
        wait_until(lambda: ensemble.ready() and _items(client) is not None)
        assert client.recommend([101])[0].items == before
    new = stubs(ensemble)
    assert {model for model, pid in new.items() if old[model] != pid} == {f"cascade_{step}"}


def _items(client):
    try:
        return client.recommend([101])[0].items
    except CascadeError:
        return None


def test_a_standby_takes_over_when_no_step_is_left(ensemble, free, nothing_left, tmp_path):
    """Replacing them one after the other takes longer."""
    config = free.model_copy(update={"standby": True})
    with TritonServer(ensemble.repository, "cascade", feature_repo=tmp_path, config=config) as server:
        wait_until(server.standby_ready)
        standby = server._supervisor.standby.process.pid
        for pid in stubs(server).values():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server.pid == standby and server.ready())
        with Client(server.grpc_url) as client:
            assert client.recommend([101])
