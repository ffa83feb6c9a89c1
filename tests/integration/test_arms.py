"""Releases with servers of their own answer the users of a canary and of an A/B test, and are asked as shadows."""

import os
import signal
import urllib.request

import numpy as np
import psutil
import pytest
from test_release_switching import ONE, TWO, another_release
from waiting import HANG_S, wait_until

from cascade.bench.chaos.steady_load import Endpoint, SteadyLoad
from cascade.bench.swaps.checked_answers import CheckedClients, check, expected_answers
from cascade.bench.swaps.swap import prepare, version_folders
from cascade.core.errors import RequestError
from cascade.ensemble.client import Client
from cascade.ensemble.protocol.assignment import Assignment
from cascade.ensemble.server.model_control import ModelControl
from cascade.ensemble.server.server import TritonServer
from cascade.ensemble.server.status import ServerStatus
from cascade.ensemble.server.stubs import running_stubs, stub_of
from cascade.rollout.gates.served import ServedReleases
from cascade.rollout.releases.arms import set_shadows, start_arms, start_canary, stop_arms
from cascade.rollout.releases.follow import Follower, first_release
from cascade.rollout.releases.live_set import Arm, LiveSets
from cascade.rollout.releases.promotion import promote
from cascade.rollout.releases.store import ReleaseStore

pytestmark = pytest.mark.slow


SAME = {
    "int64": (False, "fused", "fused"),
    "text": (True, "fused", "fused"),
    "ensemble": (False, "ensemble", "ensemble"),
}
"""Name -> whether ids are text, and the layouts of the stable release and of the other one."""
MIXED = {"ensemble beside fused": (True, "fused", "ensemble"), "fused beside ensemble": (True, "ensemble", "fused")}


@pytest.fixture(scope="module", params=SAME)
def kept(request, tmp_path_factory):
    from cascade.testing.miniature import SERVING, miniature_repository

    folder = tmp_path_factory.mktemp("arms")
    text, *layouts = (SAME | MIXED)[request.param]
    for name, layout in zip(("one", "other"), layouts, strict=True):
        serving = SERVING.model_copy(update={"arm_input": True, "layout": layout})
        miniature_repository(folder / name, string_ids=text, serving=serving)
    store = ReleaseStore(folder / "store", "cascade")
    store.add(folder / "one")
    store.add(another_release(folder / "other", folder / "two"))
    return store, ["u101", "u102"] if text else [101, 102]


@pytest.fixture
def store(kept, tmp_path):
    own = ReleaseStore(tmp_path / "models", "cascade")
    prepare(kept[0], own, [ONE, TWO])
    return own


@pytest.fixture
def users(kept):
    return [f"u{user}" for user in range(101, 120)] if isinstance(kept[1][0], str) else [*range(101, 120)]


@pytest.fixture
def server(store, free, tmp_path, nothing_left):
    first = first_release(store.repository, "cascade")
    made = TritonServer(store.repository, "cascade", feature_repo=tmp_path, config=free, takes_hangup=True, first=first)
    with made, Follower(made):
        yield made


@pytest.fixture
def expected(store, users, tmp_path):
    return expected_answers(version_folders(store, [ONE, TWO]), users, tmp_path, None)


def arms(server):
    """What the server says of its arms."""
    return ServerStatus.read(server.status_file).arms


def metric(server, name, **labels):
    """The sum of a metric's series with these labels."""
    with urllib.request.urlopen(server.metrics_url, timeout=HANG_S) as page:
        lines = page.read().decode().splitlines()
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith(name + "{") and all(w in line for w in wanted)
    )


@pytest.mark.parametrize("kept", [*SAME, *MIXED], indirect=True)
def test_users_of_a_canary_get_its_release_alone_and_in_a_batch(server, store, users, expected, tmp_path):
    live = start_canary(store, TWO, 0.4, "try it")
    wait_until(lambda: arms(server) == {"canary": ""})
    own = Assignment(live.salt, [("canary", 0.4)]).arms(np.array(users))
    assert 0 < own.sum() < len(users)
    with ServedReleases(store, tmp_path)._client(TWO) as its_own:  # the gate asks the canary's own server
        assert {answer.release for answer in its_own.recommend(users)} == {TWO}
    with Client(server.grpc_url, timeout=HANG_S) as client:
        wait_until(lambda: {answer.release for answer in client.recommend(users, temperature=0.0)} == {ONE, TWO})
        together = client.recommend(users, temperature=0.0)
        for user, arm, answer in zip(users, own, together, strict=True):
            alone = client.recommend([user], temperature=0.0)[0]
            assert (
                (alone.release, alone.arm)
                == (answer.release, answer.arm)
                == ((TWO, "canary") if arm else (ONE, "stable"))
            )
            check(answer, expected)
            check(alone, expected)
        widths = client.recommend(users, top_k=3)
        assert {len(answer.items) for answer in widths} == {3}
        forced = [client.recommend(users, temperature=0.0, arm=name) for name in ("canary", "stable")]
        assert [{answer.arm for answer in answers} for answers in forced] == [{"canary"}, {"stable"}]
        with pytest.raises(RequestError, match="^ask_arm: expected one of stable, canary, or nothing, got 'other'"):
            client.recommend(users, arm="other")
        wait_until(lambda: metric(server, "recsys_arm_users_total", arm="canary", release=TWO) >= own.sum())
        assert promote(store, TWO, "it is better", HANG_S).whole
        assert {answer.release for answer in client.recommend(users)} == {TWO}
        wait_until(lambda: {answer.arm for answer in client.recommend(users)} == {"stable"})
    wait_until(lambda: arms(server) == {})


def test_what_a_server_asks_itself_is_answered_by_the_stable_release_and_counts_in_no_arm(server, store, users):
    """Else a swap could be taken for one that failed, and a canary with few users would seem to have unknown ones."""
    start_canary(store, TWO, 1.0, "everybody")
    wait_until(lambda: arms(server) == {"canary": ""})

    def counted():
        return sum(metric(server, f"recsys_arm_{name}_total") for name in ("users", "unavailable_users"))

    with (
        Client(server.grpc_url, timeout=HANG_S) as client,
        ModelControl(server.grpc_url, control_key=server.control_key) as control,
    ):
        wait_until(lambda: {answer.arm for answer in client.recommend(users)} == {"canary"})
        wait_until(lambda: counted() and counted() % len(users) == 0)
        before = counted()
        assert {control.probe() for _ in range(20)} == {ONE}
        client.recommend(users)
        wait_until(lambda: counted() > before)
    assert (counted() - before) % len(users) == 0


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=lambda fault: fault.name)
def test_a_canary_whose_process_fails_costs_no_request_and_it_is_said(server, store, users, expected, fault):
    start_canary(store, TWO, 0.5, "try it")
    wait_until(lambda: arms(server) == {"canary": ""})
    clients = CheckedClients(server.grpc_url, "cascade", expected)
    with (
        Client(server.grpc_url, timeout=HANG_S) as client,
        SteadyLoad(Endpoint(clients.connect, server.ready, lambda user: True), users, 50) as load,
    ):
        own = {stub.pid for stub in running_stubs(server.pid)}
        canary = [stub for stub in all_stubs() if stub.pid not in own]
        os.kill(canary[-1].pid, fault)  # of an ensemble: that of one step
        answers = []

        def unavailable():
            answers[:] = client.recommend(users, temperature=0.0)
            return [answer for answer in answers if answer.reasons[-1:] == ["canary_unavailable"]]

        wait_until(unavailable)
        assert 0 < len(unavailable()) < len(users)
        assert {(answer.release, answer.arm) for answer in answers} == {(ONE, "stable")}
        assert server.ready()
        wait_until(lambda: {answer.release for answer in client.recommend(users)} == {ONE, TWO})
        wait_until(lambda: metric(server, "recsys_arm_unavailable_users_total", arm="canary") > 0)
    assert [sent.error for sent in load.sent(0.0) if sent.error] == []


def all_stubs():
    """Every stub that a child of this process runs."""

    found = [stub_of(child.pid) for child in psutil.Process().children(recursive=True)]
    return [stub for stub in found if stub is not None and stub.model.startswith("cascade")]


def test_arms_of_a_test_and_a_shadow_answer_and_end(server, store, users, expected):
    start_arms(store, [Arm("b", TWO, 0.5)], "which one")
    set_shadows(store, [Arm("shadow", TWO, 1.0)], "look at it")
    wait_until(lambda: arms(server) == {"b": "", "shadow": ""})
    with Client(server.grpc_url, timeout=HANG_S) as client:
        wait_until(lambda: {answer.arm for answer in client.recommend(users)} == {"stable", "b"})
        stop_arms(store, "enough")
        wait_until(lambda: {answer.arm for answer in client.recommend(users)} == {"stable"})
        for answer in client.recommend(users, temperature=0.0):
            check(answer, expected)
        before = metric(server, "recsys_shadow_requests_total", outcome="answered")
        for user in users:
            client.recommend([user], temperature=0.0)
        wait_until(lambda: metric(server, "recsys_shadow_requests_total", outcome="answered") >= before + 5)
        set_shadows(store, [], "seen enough")
        wait_until(lambda: arms(server) == {})
    assert [line.action for line in LiveSets(store.repository, "cascade").history().lines][-4:] == [
        "ab",
        "shadow",
        "stop",
        "shadow",
    ]
