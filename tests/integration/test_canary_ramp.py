"""A canary climbs on a served model under load, and is rolled back when its answers are bad."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest
from test_arms import all_stubs, kept, metric, server, store, users  # noqa: F401
from test_release_switching import ONE, TWO
from waiting import HANG_S, wait_until

from cascade.ensemble.client import Client
from cascade.ensemble.server.stubs import running_stubs
from cascade.rollout.canary.live_canary import LiveCanary
from cascade.rollout.canary.ramp import Look, Ramp, RampPlan
from cascade.rollout.config import CanaryConfig
from cascade.rollout.releases.live_set import LiveSets

pytestmark = pytest.mark.slow
PLAN = RampPlan([0.3, 0.5, 1.0], every_s=3, look_s=0.5, start_s=HANG_S, wait_s=HANG_S)
CONFIG = CanaryConfig(min_users=100, planned_users=1000, max_degraded=0.5, max_empty=0.5, max_latency_ratio=50)


@pytest.fixture
def load(server, users) -> Iterator[None]:  # noqa: F811
    """Requests without a pause."""
    done = threading.Event()

    def ask() -> None:
        with Client(server.grpc_url, timeout=HANG_S) as client:
            while not done.wait(0.01):
                client.recommend(users)

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    done.set()
    thread.join()


def test_an_equal_release_climbs_and_is_promoted(server, store, load) -> None:  # noqa: F811
    looks: list[Look] = []
    end = Ramp(LiveCanary(store, TWO, "try it", CONFIG, HANG_S), PLAN, looks.append).run()
    assert end.outcome == "promoted", (end, looks)
    assert {look.share for look in looks} == {0.3, 0.5}
    live = LiveSets(store.repository, "cascade").read()
    assert (live.stable, live.previous, live.arms) == (TWO, ONE, ())
    wait_until(lambda: server.release == TWO)
    users_gate = end.figures["verdicts"]
    assert {verdict["state"] for verdict in users_gate} == {"pass"}, users_gate


def test_a_canary_that_does_not_answer_is_rolled_back(server, store, load) -> None:  # noqa: F811
    own = {stub.pid for stub in running_stubs(server.pid)}
    looks: list[Look] = []
    stopped: list[bool] = []

    def tell(look: Look) -> None:
        looks.append(look)
        if look.seconds and not stopped:
            stopped.append(True)
            for stub in all_stubs():
                if stub.pid not in own:
                    os.kill(stub.pid, signal.SIGSTOP)

    end = Ramp(LiveCanary(store, TWO, "try it", CONFIG, HANG_S), PLAN, tell).run()
    assert end.outcome == "rolled back" and "unavailable" in end.reason, (end, looks)
    wait_until(lambda: metric(server, "recsys_live_set_changes_total", action="canary rolled back") == 1)
    assert metric(server, "recsys_live_set_changes_total", action="taken back") == 0
    line = LiveSets(store.repository, "cascade").history().lines[-1]
    assert line.action == "canary rolled back" and line.reason == end.reason
    assert LiveSets(store.repository, "cascade").read().arms == ()
