"""A Redis that hangs, ends, or comes back: requests are answered meanwhile, none waits, and all is well afterwards."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from redis_process import USER, VIEWS, RedisServer, lookup, write_user
from waiting import HANG_S, wait_until

from cascade.cli.doctor.pipeline import check_redis
from cascade.core.errors import ConfigError, RequestError
from cascade.ensemble.client import Client
from cascade.ensemble.config import ServerConfig
from cascade.ensemble.graph.ops.lookup_user import LookupUser
from cascade.ensemble.server.server import TritonServer
from cascade.testing.feature_data import shop_features
from cascade.testing.miniature import miniature_repository
from cascade.workflows.config import FeatureStoreConfig
from cascade.workflows.features import store as feature_store
from cascade.workflows.features.circuit_breaker import CircuitBreaker
from cascade.workflows.features.online import FeatureQuery, RedisReader, StoreUnreachableError

pytestmark = pytest.mark.slow


@pytest.fixture
def op(own_redis: RedisServer) -> LookupUser:
    """Tries a store that does not answer all the time."""
    op = lookup(own_redis, retry=0.01)
    op.load(Path())
    return op


def breaker(op: LookupUser) -> CircuitBreaker:
    assert isinstance(op.reader, CircuitBreaker)
    return op.reader


def stale(op: LookupUser) -> bool:
    return bool(op({"user_id": np.array([[USER]])})["features_stale"][0, 0])


def known(op: LookupUser) -> bool:
    return bool(op({"user_id": np.array([[USER]])})["known_user"][0, 0])


def test_one_pass_waits_for_a_hung_redis_and_no_other(own_redis: RedisServer) -> None:
    own_redis.start()
    write_user(own_redis)
    op = lookup(own_redis, retry=HANG_S)
    op.load(Path())
    assert known(op)
    own_redis.signal(signal.SIGSTOP)
    assert all(stale(op) for _ in range(1000))
    assert breaker(op).errors == 1  # each wait counts


def test_a_redis_that_hung_is_asked_again(own_redis: RedisServer, op: LookupUser) -> None:
    own_redis.start()
    write_user(own_redis)
    for _ in range(2):
        assert known(op)
        own_redis.signal(signal.SIGSTOP)
        assert stale(op) and breaker(op).is_open
        own_redis.signal(signal.SIGCONT)
        wait_until(lambda: not breaker(op).is_open)
    assert known(op)


@pytest.mark.parametrize("reply", [b"*1000000000\r\n", b"*2\r\n$9\r\n", b":1\r\n", b"*0\r\n", b"$-1\r\n", b"?\r\n"])
def test_a_reply_that_trickles_or_is_none_is_over_in_time(reply: bytes) -> None:
    """A byte every few milliseconds is an answer for the socket's time-out, which begins anew with each."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):  # the reader has given up
                while not ended.is_set():
                    with listener.accept()[0] as connection:
                        connection.recv(1 << 16)
                        connection.sendall(reply)
                        while not ended.wait(0.01):
                            connection.sendall(b"1")

        threading.Thread(target=serve, daemon=True).start()
        reader = RedisReader.open(FeatureQuery("p", "user_id", VIEWS), f"127.0.0.1:{listener.getsockname()[1]}", 0.2)
        try:
            with pytest.raises(StoreUnreachableError):
                reader.read([USER])
        finally:
            ended.set()


def test_a_connection_is_used_again_whatever_time_has_passed(own_redis: RedisServer) -> None:
    """redis-py looks, without waiting, whether something is left to read before it uses a connection again."""
    own_redis.start()
    write_user(own_redis)
    reader = RedisReader.open(lookup(own_redis, retry=1.0).query, own_redis.address, HANG_S)
    assert reader.read([USER]).known == [True]
    connection = reader.pool._available_connections[0]
    connection._sock.deadline = time.monotonic() - 1  # of a reply of long ago
    assert reader.read([USER]).known == [True]
    assert reader.pool._available_connections == [connection]


def test_a_redis_that_is_down_at_the_start_and_comes_later(own_redis: RedisServer, op: LookupUser) -> None:
    assert stale(op)
    own_redis.start()
    write_user(own_redis)
    wait_until(lambda: not stale(op))
    assert known(op)


def test_a_redis_that_comes_back_empty_knows_nobody(own_redis: RedisServer, op: LookupUser) -> None:
    own_redis.start()
    write_user(own_redis)
    assert known(op)
    own_redis.kill()
    assert stale(op)
    own_redis.start()
    wait_until(lambda: not stale(op))
    assert not known(op)
    write_user(own_redis)
    assert known(op)


def test_a_redis_that_was_restarted_between_two_requests_is_not_missed(own_redis: RedisServer, op: LookupUser) -> None:
    """The connection that is kept is dead; no request shall be degraded by it."""
    own_redis.start()
    assert not stale(op)
    own_redis.kill()
    own_redis.start()
    assert not stale(op)
    assert breaker(op).errors == 0


def test_a_node_of_a_cluster_is_refused_before_anything_is_published(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--cluster-enabled", "yes") as server:
        section = FeatureStoreConfig(repo=str(tmp_path / "repo"), project="p", online="redis", redis=server.address)
        artifact = shop_features(tmp_path, section)
        with pytest.raises(ConfigError, match=f"redis: {server.address} runs in the mode cluster; Redis Cluster and"):
            feature_store.publish(section, artifact)


def test_a_wrong_password_is_told_from_a_redis_that_is_down(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--requirepass", "right") as server:
        for password, status in ((",password=right", "ok"), (",password=wrong", "fail"), ("", "fail")):
            check = check_redis(FeatureStoreConfig(redis=server.address + password), HANG_S)
            assert check.status == status and "right" not in str(check) and "wrong" not in str(check)
            assert check.advice == ("" if status == "ok" else "set CASCADE_FEATURE_STORE__REDIS with the password")


@pytest.fixture
def served(own_redis: RedisServer, tmp_path: Path, free: ServerConfig) -> Iterator[TritonServer]:
    """The miniature, which looks users up in a Redis that runs."""
    own_redis.start()
    write_user(own_redis)
    miniature_repository(tmp_path / "models", lookup_user=lookup(own_redis, retry=0.05))
    with TritonServer(tmp_path / "models", "cascade", feature_repo=tmp_path, config=free) as server:
        yield server


def metrics(server: TritonServer) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """(Name, own labels) -> value of the models' series."""
    text = urllib.request.urlopen(server.metrics_url, timeout=HANG_S).read().decode()
    found = {}
    for name, labels, value in re.findall(r"^(recsys_\w+)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE):
        own = frozenset(re.findall(r'(\w+)="([^"]*)"', labels))
        found[name, frozenset(pair for pair in own if pair[0] not in ("model", "pid"))] = float(value)
    return found


def test_a_served_model_tells_that_redis_hangs_and_recovers(own_redis: RedisServer, served: TritonServer) -> None:
    def state() -> float:
        return metrics(served)["recsys_store_breaker_open", frozenset()]

    def stale_users() -> float:
        return metrics(served)["recsys_degraded_users_total", frozenset({("reason", "features_stale")})]

    with Client(served.grpc_url, timeout=HANG_S) as client:
        assert client.recommend([USER])[0].reasons == []
        assert 1003 not in [item.item_id for item in client.recommend([USER], top_k=12)[0].items]
        assert (state(), stale_users()) == (0, 0)
        own_redis.signal(signal.SIGSTOP)
        answers = [client.recommend([USER])[0] for _ in range(50)]
        assert {tuple(answer.reasons) for answer in answers} == {("features_stale",)}
        assert all(answer.items for answer in answers)
        wait_until(lambda: state() == 1 and stale_users() >= 50)  # the watching server asks, too
        own_redis.signal(signal.SIGCONT)
        wait_until(lambda: state() == 0)
        assert client.recommend([USER])[0].reasons == []
        with pytest.raises(RequestError):
            client.recommend([USER], top_k=10_000)
        wait_until(lambda: metrics(served)["recsys_refused_requests_total", frozenset({("why", "invalid")})] == 1)
        assert metrics(served)["recsys_release_info", frozenset({("release", served.release)})] == 1
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "metrics.md").read_text()
    # Nobody is asked beside, and no live set is followed.
    rows = re.findall(r"^\| `(recsys_(?!arm_|shadow_|live_set_)\w+)` \|(.*?)\|", page, re.MULTILINE)
    documented = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    assert documented == {name: {label for label, _ in labels} for name, labels in metrics(served)}
