"""A running server follows the live set: releases are swapped under load, and every answer is one release's own."""

import os
import shutil
import signal

import numpy as np
import psutil
import pytest
from waiting import HANG_S, wait_until

from cascade.bench.chaos.steady_load import Endpoint, SteadyLoad
from cascade.bench.swaps.checked_answers import CheckedClients, expected_answers
from cascade.bench.swaps.rollbacks import roll_back_often
from cascade.bench.swaps.swap import prepare, swap_often, version_folders
from cascade.core.errors import ServerError
from cascade.ensemble.client import Client
from cascade.ensemble.repository.digests import write_digests
from cascade.ensemble.server.server import TritonServer
from cascade.ensemble.server.stubs import running_stubs
from cascade.rollout.releases.follow import Follower, first_release
from cascade.rollout.releases.live_set import LiveSets
from cascade.rollout.releases.promotion import promote, rollback
from cascade.rollout.releases.store import ReleaseStore
from cascade.testing.miniature import seal

ONE, TWO = "0123456789ab", "ba9876543210"
USERS = list(range(101, 113))


def another_release(repository, folder):
    """The same model with its items in another order, so that it recommends others."""
    shutil.copytree(repository, folder)
    for file in folder.rglob("*.json"):
        file.write_text(file.read_text().replace(ONE, TWO))
    for file in folder.rglob("item_ids.npy"):
        np.save(file, np.load(file)[::-1])
    seal(folder)
    return folder


@pytest.fixture(scope="module")
def kept(repository, tmp_path_factory):
    store = ReleaseStore(tmp_path_factory.mktemp("store"), "cascade")
    store.add(repository)
    store.add(another_release(repository, tmp_path_factory.mktemp("other") / "models"))
    return store


@pytest.fixture
def store(kept, tmp_path):
    own = ReleaseStore(tmp_path / "models", "cascade")
    prepare(kept, own, [ONE, TWO])
    return own


def serving(store, config, feature_repo):
    first = first_release(store.repository, "cascade")
    return TritonServer(
        store.repository, "cascade", feature_repo=feature_repo, config=config, takes_hangup=True, first=first
    )


@pytest.fixture
def server(store, free, tmp_path, nothing_left):
    config = free.model_copy(update={"instances": 2})
    first = first_release(store.repository, "cascade")
    made = TritonServer(
        store.repository, "cascade", feature_repo=tmp_path, config=config, takes_hangup=True, first=first
    )
    with made, Follower(made):
        yield made


def pids(server):
    return {stub.pid for stub in running_stubs(server.pid)}


def test_swaps_under_load_fail_no_request_and_mix_no_answer(server, store, tmp_path):
    expected = expected_answers(version_folders(store, [ONE, TWO]), USERS, tmp_path, None)
    assert expected[ONE][101].items != expected[TWO][101].items
    clients, before = CheckedClients(server.grpc_url, "cascade", expected), pids(server)
    with SteadyLoad(Endpoint(clients.connect, server.ready, lambda user: True), USERS, 50) as load:
        report = swap_often(store, (ONE, TWO), clients, load, 14)
        sets, config = LiveSets(store.repository, "cascade"), tmp_path / "pipeline.yaml"
        config.write_text(f"export: {{repository: {store.repository}, model_name: cascade}}")
        rollbacks = roll_back_often(sets, [f"--config={config}"], clients, load, 3)
    assert report.errors == {} and report.answered > 100 and report.refused == 1
    assert rollbacks.errors == {} and len(rollbacks.seconds) == 3
    assert [line.action for line in sets.history().lines][-3:] == ["rollback"] * 3
    assert pids(server) == before  # no process was started for it


def test_promote_and_rollback_and_what_is_started_later_has_the_stable_one(server, store, tmp_path):
    with Client(server.grpc_url, timeout=HANG_S) as client:
        assert client.recommend([101])[0].release == ONE
        assert promote(store, TWO, "better", HANG_S).whole
        assert client.recommend([101])[0].release == TWO
        os.kill(max(pids(server)), signal.SIGKILL)
        wait_until(lambda: server.ready() and len(pids(server)) == 2)
        assert {client.recommend([user])[0].release for user in USERS} == {TWO}
        assert rollback(store, "worse", HANG_S).whole
        assert client.recommend([101])[0].release == ONE
        before = server.pid
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: not psutil.pid_exists(before) and server.ready() and server.pid != before)
        assert client.recommend([101])[0].release == ONE
    assert [line.action for line in LiveSets(store.repository, "cascade").history().lines][-2:] == [
        "promote",
        "rollback",
    ]


def test_one_of_another_shape_gets_new_processes_and_a_rollback_too(server, store, kept, tmp_path):
    folder = tmp_path / "shape"
    shutil.copytree(kept.folder(TWO), folder)
    config = folder / "cascade" / "config.pbtxt"
    config.write_text(config.read_text().replace('"1024"', '"77"'))
    release = "a" * 12
    for file in folder.rglob("*.json"):
        file.write_text(file.read_text().replace(TWO, release))
    write_digests(next(folder.glob("cascade/*/graph.json")).parent, config.read_text())
    store.add(folder)
    before = pids(server)
    with Client(server.grpc_url, timeout=HANG_S) as client:
        assert promote(store, release, "", HANG_S).whole
        assert client.recommend([101])[0].release == release
        wait_until(lambda: not before & pids(server))
        assert rollback(store, "", HANG_S).whole
        assert client.recommend([101])[0].release == ONE


def test_a_release_that_breaks_in_the_processes_is_refused_and_the_live_set_put_back(server, store, kept, tmp_path):
    folder, release = tmp_path / "broken", "b" * 12
    shutil.copytree(kept.folder(TWO), folder)
    for file in folder.rglob("*.json"):
        file.write_text(file.read_text().replace(TWO, release).replace('"op": "retrieve"', '"op": "retreive"'))
    seal(folder)
    store.add(folder)
    switch = promote(store, release, "", HANG_S)
    assert switch.put_back and "cannot be loaded" in switch.servers[0].why_not
    assert LiveSets(store.repository, "cascade").read().stable == ONE == server.release
    with Client(server.grpc_url, timeout=HANG_S) as client:
        assert client.recommend([101])[0].release == ONE


def test_a_release_of_the_store_that_is_damaged_does_not_start(store, free, tmp_path, nothing_left):
    next(store.folder(ONE).rglob("graph.json")).write_text("{}")
    made = TritonServer(
        store.repository,
        "cascade",
        feature_repo=tmp_path,
        config=free,
        first=first_release(store.repository, "cascade"),
    )
    with pytest.raises(ServerError, match="graph.json: damaged"), made:
        pass
