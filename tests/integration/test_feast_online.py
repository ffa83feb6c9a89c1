"""The lookup op against Feast's SDK, on sqlite and on a real Redis server."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade.ensemble.ops.lookup_user import LookupUser, export_lookup
from cascade.testing.feature_data import shop_features
from cascade.workflows import feature_store
from cascade.workflows.config import FeatureStoreConfig

COLUMNS = ("age", "city", "income", "tags")
LISTS = ("history_ids", "rejected_ids")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server of its own, as Feast's connection string."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    server = subprocess.Popen(command, cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"redis-server does not listen on port {port}")


@pytest.fixture(scope="module", params=["sqlite-int", "sqlite-string", "redis-int", "redis-string"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A published shop and its loaded lookup op."""
    online, ids = request.param.split("-")
    folder = tmp_path_factory.mktemp(request.param)
    address = {"redis": request.getfixturevalue("redis_server")} if online == "redis" else {}
    section = FeatureStoreConfig(repo=str(folder / "repo"), project=f"shop_{ids}", online=online, **address)
    artifact = shop_features(folder, section, ids)
    feature_store.publish(section, artifact)
    op = export_lookup(artifact.path, section)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CASCADE_FEATURE_REPO", section.repo)
        op.load(Path())
    store = feature_store.open_store(section)
    convert = str if ids == "string" else int
    yield SimpleNamespace(section=section, artifact=artifact, op=op, store=store, convert=convert)


def look_up(shop: SimpleNamespace, users: list[Any]) -> dict[str, Any]:
    dtype = object if shop.convert is str else np.int64
    return dict(shop.op({"user_id": np.array(users, dtype=dtype).reshape(-1, 1)}))


def plain(values: np.ndarray[Any, Any]) -> list[list[Any]]:
    """Rows without what is missing."""
    missing = (None, np.iinfo(np.int64).min)
    return [[v for v in row if v not in missing and v == v] for row in values.tolist()]


@given(numbers=st.lists(st.integers(0, 30), min_size=1, max_size=8))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_equals_the_sdk(shop: SimpleNamespace, numbers: list[int]) -> None:
    users = [shop.convert(n) for n in numbers]
    names = [*(f"user_profile:{name}" for name in COLUMNS), *(f"user_history:{name}" for name in LISTS)]
    sdk = shop.store.get_online_features(names, [{"user_id": user} for user in users]).to_dict()
    got = look_up(shop, users)
    for name in ("age", "city", "income"):
        assert plain(got[name]) == [[] if value is None else [value] for value in sdk[name]], name
    for name in ("tags", *LISTS):
        assert plain(got[name]) == [value or [] for value in sdk[name]], name
    assert got["known_user"][:, 0].tolist() == [n < 20 for n in numbers]
    assert not got["features_stale"].any()


def test_publish_again_writes_nothing(shop: SimpleNamespace) -> None:
    assert feature_store.publish(shop.section, shop.artifact) is False


def test_a_pushed_event_changes_the_next_response(shop: SimpleNamespace) -> None:
    user, item = shop.convert(14), shop.convert(8)
    before, rejected = (plain(look_up(shop, [user])[name])[0] for name in LISTS)
    feature_store.push_history(shop.section, user, [item])
    feature_store.push_history(shop.section, user, [shop.convert(7)])  # within the same second
    got = look_up(shop, [user])
    assert plain(got["history_ids"])[0] == [shop.convert(7), item, *before][:5]
    assert plain(got["rejected_ids"])[0] == rejected == [shop.convert(8), shop.convert(7)]


def test_a_user_new_to_the_store(shop: SimpleNamespace) -> None:
    user = shop.convert(4711)
    assert not look_up(shop, [user])["known_user"].any()
    feature_store.push_history(shop.section, user, [shop.convert(2)])
    got = look_up(shop, [user, shop.convert(4712)])
    assert got["known_user"].tolist() == [[True], [False]]
    assert [plain(got[name]) for name in LISTS] == [[[shop.convert(2)], []], [[], []]]


def test_changed_values_of_the_same_time_arrive(shop: SimpleNamespace, tmp_path: Path) -> None:
    user = shop.convert(19)
    newer = shop_features(tmp_path, shop.section, "string" if shop.convert is str else "int", seen=3)
    assert len(plain(look_up(shop, [user])["history_ids"])[0]) == 4
    feature_store.publish(shop.section, newer)
    assert len(plain(look_up(shop, [user])["history_ids"])[0]) == 3
    feature_store.publish(shop.section, shop.artifact)


def test_redis_that_is_down_is_told_in_the_answer() -> None:
    views = {"user_history": list(LISTS)}
    op = LookupUser("p", {}, "int", "int", 2, views, "redis", f"127.0.0.1:{free_port()}", timeout=0.2)
    op.load(Path())
    got = op({"user_id": np.array([[1]])})
    assert got["features_stale"].tolist() == [[True]]
    assert (got["history_ids"].shape, got["rejected_ids"].shape) == ((1, 2), (1, 1))
