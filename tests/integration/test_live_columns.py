"""Whatever is published, each live release reads the columns that it was made with, in sqlite and in Redis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from user_columns import CONVERT, Shop, looked_up
from waiting import HANG_S

from cascade.core.artifact import Artifact
from cascade.core.errors import ReleaseError
from cascade.ensemble.client import Client
from cascade.ensemble.config import ExportConfig, ServerConfig
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops import LookupUser
from cascade.ensemble.graph.ops.lookup_user import REPO_VARIABLE
from cascade.ensemble.server.server import TritonServer
from cascade.rollout.releases.follow import Follower, first_release
from cascade.rollout.releases.live_readers import live_readers, reader_of
from cascade.rollout.releases.live_set import LiveSet, LiveSets
from cascade.rollout.releases.promotion import promote, rollback
from cascade.rollout.releases.store import ReleaseStore
from cascade.testing.feature_data import data_artifact
from cascade.testing.miniature import RELEASE, miniature_repository, seal
from cascade.workflows.config import FeatureStoreConfig, HistoryConfig, SchemaConfig
from cascade.workflows.features import store as feature_store
from cascade.workflows.features.stage import FEATURES

USERS = (1, 2, 3)
OTHER = "ba9876543210"
PROJECTS = count()


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def section(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStoreConfig]:
    """A feature store; tests take projects of their own in it."""
    address = {"redis": request.getfixturevalue("redis_server")} if request.param == "redis" else {}
    repo = tmp_path_factory.mktemp(request.param) / "repo"
    yield FeatureStoreConfig(repo=str(repo), project="p", online=request.param, **address)


def own_project(section: FeatureStoreConfig) -> FeatureStoreConfig:
    return section.model_copy(update={"project": f"p{next(PROJECTS)}"})


def stored(section: FeatureStoreConfig) -> dict[str, Any]:
    """All that is in the store, and the files beside it."""
    found: dict[str, Any] = {str(f): f.read_bytes() for f in Path(section.repo).rglob("*") if f.is_file()}
    if section.online == "redis":
        client = redis.Redis.from_url(f"redis://{section.redis}")
        for key in client.scan_iter():
            found[repr(key)] = client.hgetall(key) if client.type(key) == b"hash" else client.get(key)
    return found


@dataclass
class Oracle:
    """What the store must hold, and which releases read it."""

    shop: Shop
    live: list[LookupUser] = field(default_factory=list)
    profiles: dict[int, dict[str, Any]] = field(default_factory=dict)
    users: set[int] = field(default_factory=set)

    def publish(self, columns: dict[str, str], users: set[int], plus: int, ids: str) -> None:
        """Publish, or see that it is refused; what is published is live from then on."""
        section, readers = self.shop.section, [reader_of(each, "9fba", "stable") for each in self.live]
        made = self.shop.features(columns, sorted(users), plus=plus, ids=(ids, "int"))
        wanted = {name: kind for each in self.live for name, kind in each.columns.items()}
        other_ids = any(each.user_kind != ids for each in self.live)
        if other_ids or any(columns.get(name, kind) != kind for name, kind in wanted.items()):
            before = stored(section)
            with pytest.raises(ReleaseError, match="Nothing was published"):
                feature_store.publish(section, made, readers)
            assert stored(section) == before
            return
        feature_store.publish(section, made, readers)
        kept = wanted.keys() - columns.keys()
        had, self.users = self.profiles, users
        if columns:
            own = {u: {name: CONVERT[kind](10 * u + plus) for name, kind in columns.items()} for u in users}
            self.profiles = {u: {**{n: had.get(u, {}).get(n) for n in kept}, **own[u]} for u in users}
        else:
            self.profiles = {u: {n: row.get(n) for n in kept} for u, row in had.items() if u in users}
        self.live.append(self.shop.lookup(made))

    def check(self) -> None:
        """See that each live release reads what the oracle has."""
        for each in self.live:
            found = looked_up(each, self.shop.section, USERS)
            assert not any(found["features_stale"])
            assert found["known_user"] == [user in self.users for user in USERS]
            assert found["history_ids"] == [[10 + u, 10] if u in self.users else [] for u in USERS]
            for name in each.columns:
                assert found[name] == [self.profiles.get(user, {}).get(name) for user in USERS], name


def publish(columns: str, users: set[int]) -> tuple[Any, ...]:
    """A step that publishes integers."""
    return "publish", dict.fromkeys(columns, "int"), users, 0, "int"


SCHEMAS = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["int", "int", "string", "float"]), max_size=3)
STEPS = st.one_of(
    st.tuples(
        st.just("publish"),
        SCHEMAS,
        st.sets(st.sampled_from(USERS), min_size=1),
        st.integers(0, 5),
        st.sampled_from(["int"] * 6 + ["string"]),
    ),
    st.tuples(st.just("end"), st.sets(st.integers(0, 4), min_size=1)),
)


@example([publish("b", {1, 2}), publish("a", {1})])
@example([publish("b", {1, 2}), publish("", {1})])
@example([publish("bc", {1}), publish("b", {1}), ("end", {0}), publish("a", {1})])
@given(steps=st.lists(STEPS, min_size=2, max_size=8))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_live_release_reads_what_it_was_made_with(
    section: FeatureStoreConfig, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    oracle = Oracle(Shop(tmp_path_factory.mktemp("shop"), own_project(section)))
    for name, *arguments in steps:
        if name == "publish":
            oracle.publish(*arguments)
        else:
            oracle.live = [each for at, each in enumerate(oracle.live) if at not in arguments[0]]
        oracle.check()


def test_redis_forgets_a_column_that_nobody_reads(section: FeatureStoreConfig, tmp_path: Path) -> None:
    shop = Shop(tmp_path, own_project(section))
    first, newer = shop.features({"a": "int", "b": "int"}), shop.features({"b": "int"})
    feature_store.publish(shop.section, first)
    feature_store.publish(shop.section, newer, [shop.reader(first)])
    assert looked_up(shop.lookup(first), shop.section, (1, 2))["a"] == [10, 20]
    feature_store.publish(shop.section, shop.features({"b": "int"}, plus=1))
    assert looked_up(shop.lookup(first), shop.section, (1, 2))["a"] == [None, None]


def test_a_push_reaches_every_live_release(section: FeatureStoreConfig, tmp_path: Path) -> None:
    shop = Shop(tmp_path, own_project(section))
    first, newer = shop.features({"a": "int"}), shop.features({"b": "int"})
    feature_store.publish(shop.section, first)
    feature_store.publish(shop.section, newer, [shop.reader(first)])
    feature_store.push_history(shop.section, 1, [77])
    for made, column in ((first, "a"), (newer, "b")):
        found = looked_up(shop.lookup(made), shop.section, (1, 2))
        assert found["history_ids"] == [[77, 11, 10], [12, 10]] and found[column] == [10, 20]


def miniature_features(folder: Path, section: FeatureStoreConfig, columns: dict[str, str]) -> Artifact:
    """Features of the users 100 to 119, who had the items 1000 to 1004, with ``columns`` of text."""
    users = range(100, 120)
    rows = [(user, 1000 + (user + at) % 30, 800_000_000 + at) for user in users for at in range(5)]
    ids = {"user_id": "int", "item_id": "int", "timestamp": "int"}
    data = data_artifact(
        folder / "data",
        {"interactions": ids, "users": {"user_id": "int", **columns}, "items": {"item_id": "int"}},
        {**dict(zip(ids, map(list, zip(*rows, strict=True)), strict=True)), "split": ["train"] * len(rows)},
        {"user_id": [*users], **{name: ["F", "M"] * 10 for name in columns}},
        {"item_id": [*range(1000, 1030)]},
    )
    sections = {
        "schema": SchemaConfig(sparse=["user_id", "item_id"]),
        "history": HistoryConfig(length=4, seen=5),
        "feature_store": section,
    }
    return FEATURES.run(folder / "runs", sections, {"data": data})


def test_the_answers_of_a_live_release_stay(
    section: FeatureStoreConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(tmp_path, own_project(section))
    first = miniature_features(tmp_path / "first", shop.section, {"gender": "string"})
    users = shop.lookup(first)
    miniature_repository(tmp_path / "models", lookup_user=users)
    monkeypatch.setenv(REPO_VARIABLE, shop.section.repo)
    feature_store.publish(shop.section, first)
    before = answers(tmp_path / "models")
    newer = miniature_features(tmp_path / "newer", shop.section, {"city": "string"})
    feature_store.publish(shop.section, newer, [reader_of(users, "9fba", "previous")])
    assert_same(answers(tmp_path / "models"), before)
    feature_store.materialize(shop.section, newer)
    assert_differ(answers(tmp_path / "models"), before)


def test_a_rollback_brings_the_same_answers_back(
    section: FeatureStoreConfig, tmp_path: Path, free: ServerConfig
) -> None:
    shop = Shop(tmp_path, own_project(section))
    first = miniature_features(tmp_path / "first", shop.section, {"gender": "string"})
    feature_store.publish(shop.section, first)
    export = ExportConfig(repository=str(tmp_path / "models"), model_name="cascade")
    store = ReleaseStore(tmp_path / "models", "cascade")
    miniature_repository(tmp_path / "one", lookup_user=shop.lookup(first))
    store.add(tmp_path / "one")
    miniature_repository(tmp_path / "two")  # reads nothing of the store
    for file in (tmp_path / "two").rglob("*.json"):
        file.write_text(file.read_text().replace(RELEASE.release, OTHER))
    seal(tmp_path / "two")
    store.add(tmp_path / "two")
    LiveSets(store.repository, "cascade").change(lambda _: LiveSet(RELEASE.release), actor="test", reason="")
    made = TritonServer(
        store.repository,
        "cascade",
        feature_repo=Path(shop.section.repo),
        redis=shop.section.connection,
        config=free,
        takes_hangup=True,
        first=first_release(store.repository, "cascade"),
    )
    with made, Follower(made), Client(made.grpc_url, timeout=HANG_S) as client:
        before = answered(client)
        assert promote(store, OTHER, "newer", HANG_S).whole
        newer = miniature_features(tmp_path / "newer", shop.section, {"city": "string"})
        [reader] = live_readers(export, shop.section)
        assert (reader.release, reader.role) == (RELEASE.release, "previous")
        feature_store.publish(shop.section, newer, [reader])
        assert client.recommend([100])[0].release == OTHER
        assert rollback(store, "worse", HANG_S).whole
        assert answered(client) == before


def answered(client: Client) -> list[tuple[Any, ...]]:
    found = client.recommend([*range(100, 120)], context={"hour": 9}, seed=1)
    return [(each.user_id, each.items, each.reasons, each.release) for each in found]


def answers(repository: Path) -> dict[str, np.ndarray[Any, Any]]:
    """What the miniature answers its users, offline, from the online store."""
    executor = Executor.load(repository / "cascade" / "1")
    users = np.arange(100, 120).reshape(-1, 1)
    return executor({"user_id": users, "hour": np.full(users.shape, 9), "seed": np.full(users.shape, 1)})


def assert_same(found: dict[str, np.ndarray[Any, Any]], expected: dict[str, np.ndarray[Any, Any]]) -> None:
    for name in ("item_ids", "scores", "reasons"):
        np.testing.assert_array_equal(found[name], expected[name], name)


def assert_differ(found: dict[str, np.ndarray[Any, Any]], expected: dict[str, np.ndarray[Any, Any]]) -> None:
    """The test could fail: without the column the answers are others."""
    assert not np.array_equal(found["scores"], expected["scores"])
