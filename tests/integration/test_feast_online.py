"""The lookup op and the reader against Feast's SDK, on sqlite and on a real Redis server."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import HANG_S

from cascade.core.artifact import Artifact
from cascade.core.errors import FeatureStoreError
from cascade.ensemble.graph.ops.lookup_user import LookupUser
from cascade.ensemble.repository.user_lookup import user_lookup
from cascade.testing.feature_data import shop_features
from cascade.workflows.config import FeatureStoreConfig
from cascade.workflows.features import store as feature_store
from cascade.workflows.features.definitions import PUSH_SOURCE
from cascade.workflows.features.online import FeatureQuery, entity_key, open_reader
from cascade.workflows.features.values import ValueDecoder

COLUMNS = ("age", "city", "income", "tags")
LISTS = ("history_ids", "rejected_ids")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


STORES = ["sqlite-int", "sqlite-string", "redis-int", "redis-string"]


@pytest.fixture(scope="module", params=STORES)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A published shop and its loaded lookup op."""
    online, ids = request.param.split("-")
    folder = tmp_path_factory.mktemp(request.param)
    address = {"redis": request.getfixturevalue("redis_server")} if online == "redis" else {}
    section = FeatureStoreConfig(repo=str(folder / "repo"), project=f"shop_{ids}", online=online, **address)
    artifact = shop_features(folder, section, ids)
    feature_store.publish(section, artifact)
    op = user_lookup(artifact.path, section)
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


def test_pushes_at_the_same_time_are_all_kept(shop: SimpleNamespace) -> None:
    user, items = shop.convert(4000), [shop.convert(item) for item in range(5)]
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda item: feature_store.push_history(shop.section, user, [item]), items))
    assert sorted(plain(look_up(shop, [user])["history_ids"])[0]) == items


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
    assert (got["history_ids"].shape, got["rejected_ids"].shape) == ((1, 1), (1, 1))


def test_redis_answers_of_a_failed_call_are_not_those_of_the_next(redis_server: str) -> None:
    import redis

    reader = open_reader(FeatureQuery("broken", "user_id", {"v": []}), Path(), "redis", redis_server)
    client = redis.Redis.from_url(f"redis://{redis_server}")
    client.set(entity_key("user_id", 1) + b"broken", "no hash")
    client.hset(entity_key("user_id", 2) + b"broken", "_ts:v", b"\x08\x01")
    for _ in range(20):
        with pytest.raises(FeatureStoreError, match="online store: WRONGTYPE"):
            reader.read([1, *[2] * 50])
        assert reader.read([3, 2, None, 2]).known == [False, True, False, True]


@dataclass
class Live:
    """A shop whose tables and store are changed step by step; each method is a step."""

    section: FeatureStoreConfig
    artifact: Artifact
    convert: type

    def write(self, view: str, key: int, at: int, values: dict[str, Any]) -> None:
        """Put a row into the offline table of ``view`` in place of the key's older one."""
        file = self.artifact.path / f"{view}.parquet"
        table = pq.read_table(file)
        name, *columns = (name for name in table.column_names if name != "event_timestamp")
        rows = {row[name]: row for row in table.to_pylist()}
        row = {name: self.convert(key), **{c: self._typed(c, values.get(c)) for c in columns}}
        rows[self.convert(key)] = {**row, "event_timestamp": self._time(at)}
        pq.write_table(pa.Table.from_pylist(list(rows.values()), table.schema), file)

    def materialize(self) -> None:
        feature_store.materialize(self.section, self.artifact)

    def feast_materialize(self) -> None:
        self.store.materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC))

    def feast_incremental(self) -> None:
        self.store.materialize_incremental(datetime.now(UTC))

    def push(self, user: int, items: list[int]) -> None:
        feature_store.push_history(self.section, self.convert(user), [self.convert(item) for item in items])

    def feast_push(self, user: int, at: int, values: dict[str, Any]) -> None:
        lists = {name: [self._typed(name, values.get(name) or [])] for name in LISTS}
        row = {"user_id": [self.convert(user)], **lists, "event_timestamp": [self._time(at)]}
        self.store.push(PUSH_SOURCE, pd.DataFrame(row))

    @property
    def store(self) -> Any:
        return feature_store.open_store(self.section)

    def _typed(self, column: str, value: Any) -> Any:
        return [self.convert(v) for v in value] if column in LISTS and value is not None else value

    def _time(self, at: int) -> datetime:
        """``at`` seconds after a time long ago; for 0 the time that it is now."""
        return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=at) if at else datetime.now(UTC)


USERS, ITEMS = range(5), range(4)
KEYS, TIMES = st.sampled_from(USERS), st.integers(0, 3)
IDS = st.lists(st.sampled_from(range(9)), max_size=7)
EXACT = st.integers(-(2**53), 2**53)  # Feast's own materialize takes a column of ints and nulls through floats
VALUES = st.fixed_dictionaries(
    {},
    optional={
        **{"age": EXACT, "city": st.text(max_size=5), "income": st.floats(allow_nan=False)},
        **{"tags": st.lists(st.text(max_size=3), max_size=3), "price": st.floats(allow_nan=False)},
        **{"history_ids": IDS, "rejected_ids": IDS},
    },
)
VIEWS = st.sampled_from(["user_profile", "item_features", "user_history"])
STEPS = st.one_of(
    st.tuples(st.just("write"), VIEWS, KEYS, TIMES, VALUES),
    st.sampled_from([("materialize",), ("feast_materialize",), ("feast_incremental",)]),
    st.tuples(st.just("push"), KEYS, IDS),
    st.tuples(st.just("feast_push"), KEYS, TIMES, VALUES),
)


@pytest.fixture(scope="module", params=STORES)
def changing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A ``Live`` shop, and the lookup op and the item reader on it; they stay open for all sequences."""
    online, ids = request.param.split("-")
    folder = tmp_path_factory.mktemp(request.param)
    address = {"redis": request.getfixturevalue("redis_server")} if online == "redis" else {}
    section = FeatureStoreConfig(repo=str(folder / "repo"), project=f"changing_{ids}", online=online, **address)
    live = Live(section, shop_features(folder, section, ids, seen=7), str if ids == "string" else int)
    feature_store.apply(section, live.artifact)
    op = replace(user_lookup(live.artifact.path, section), timeout=HANG_S)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CASCADE_FEATURE_REPO", section.repo)
        op.load(Path())
    wanted = FeatureQuery(f"changing_{ids}", "item_id", {"item_features": ["price"]})
    items = open_reader(wanted, Path(section.repo), online, section.redis, timeout=HANG_S)
    return SimpleNamespace(live=live, op=op, items=items, convert=live.convert)


@given(steps=st.lists(STEPS, min_size=1, max_size=10))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_equals_the_sdk_after_any_sequence_of_writes(changing: SimpleNamespace, steps: list[tuple[Any, ...]]) -> None:
    """The store is not emptied between sequences: what one leaves is where the next one begins."""
    for name, *arguments in steps:
        getattr(changing.live, name)(*arguments)
        assert_users_equal(changing)
        assert_items_equal(changing)


def assert_users_equal(changing: SimpleNamespace) -> None:
    users = [changing.convert(user) for user in (*USERS, 4711)]
    names = [*(f"user_profile:{name}" for name in COLUMNS), *(f"user_history:{name}" for name in LISTS)]
    answer = changing.live.store.get_online_features(names, [{"user_id": user} for user in users])
    sdk, got = answer.to_dict(), look_up(changing, users)
    for name in ("age", "city", "income"):
        assert plain(got[name]) == [[] if value is None else [value] for value in sdk[name]], name
    for name in ("tags", *LISTS):
        assert plain(got[name]) == [value or [] for value in sdk[name]], name
    if changing.live.section.online == "sqlite":  # on Redis Feast says of every key that it is there
        statuses = zip(*(vector.statuses for vector in answer.proto.results[1:]), strict=True)
        assert got["known_user"][:, 0].tolist() == [set(row) != {FieldStatus.NOT_FOUND} for row in statuses]


def assert_items_equal(changing: SimpleNamespace) -> None:
    items = [changing.convert(item) for item in (*ITEMS, 4711)]
    sdk = changing.live.store.get_online_features(["item_features:price"], [{"item_id": item} for item in items])
    got = ValueDecoder().scalars(changing.items.read(items).values["price"], "float")
    assert plain(got) == [[] if value is None else [value] for value in sdk.to_dict()["price"]]
