"""Publishing makes the online store equal to an artifact, and keeps what was pushed since."""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.core.artifact import Artifact
from cascade.testing.feature_data import data_artifact
from cascade.workflows.config import FeatureStoreConfig, HistoryConfig, SchemaConfig
from cascade.workflows.features import store as feature_store
from cascade.workflows.features.definitions import PUSH_SOURCE
from cascade.workflows.features.online import FeatureQuery, open_reader
from cascade.workflows.features.publication import Publication
from cascade.workflows.features.stage import FEATURES
from cascade.workflows.features.values import ValueDecoder

SEEN, START = 3, 1_700_000_000
USERS = range(1, 6)
Log = Mapping[int, Sequence[int]]
Make = Callable[..., Artifact]


def artifact_of(folder: Path, log: Log, time: Callable[[int, int], int] = lambda user, at: START + at) -> Artifact:
    """The features artifact of a log: user -> items, oldest first; ``time`` gives the time of a user's n-th event."""
    rows = [(user, item, time(user, at)) for user in sorted(log) for at, item in enumerate(log[user])]
    columns = dict(zip(("user_id", "item_id", "timestamp"), map(list, zip(*rows, strict=True)), strict=True))
    kinds = dict.fromkeys(("user_id", "item_id", "timestamp"), "int")
    items = sorted({item for _, item, _ in rows})
    data = data_artifact(
        folder / "data",
        {"interactions": kinds, "users": {"user_id": "int", "age": "int"}, "items": {"item_id": "int", "price": "int"}},
        {**columns, "split": ["train"] * len(rows)},
        {"user_id": sorted(log), "age": [user + 20 for user in sorted(log)]},
        {"item_id": items, "price": items},
    )
    sections = {
        "schema": SchemaConfig(sparse=["user_id", "item_id"]),
        "history": HistoryConfig(length=1, seen=SEEN),
        "feature_store": FeatureStoreConfig(project="any"),
    }
    return FEATURES.run(folder / "runs", sections, {"data": data})


@pytest.fixture
def section(tmp_path: Path) -> FeatureStoreConfig:
    return FeatureStoreConfig(repo=str(tmp_path / "repo"), project="shop")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    numbers = count()
    return lambda log, **more: artifact_of(tmp_path / str(next(numbers)), log, **more)


def stored(section: FeatureStoreConfig) -> dict[int, list[int]]:
    """Known user -> history, as a request reads it."""
    query = FeatureQuery(str(section.project), "user_id", {"user_history": ["history_ids"]})
    rows = open_reader(query, Path(section.repo), section.online, section.redis).read([*USERS])
    lists = ValueDecoder().lists(rows.values["history_ids"], "int").tolist()
    return {u: [i for i in ids if i > 0] for u, known, ids in zip(USERS, rows.known, lists, strict=True) if known}


def keys(section: FeatureStoreConfig, view: str) -> int:
    with sqlite3.connect(Path(section.repo) / "data" / "online_store.db") as connection:
        query = f"SELECT count(DISTINCT entity_key) FROM {section.project}_{view}"
        return int(connection.execute(query).fetchone()[0])


class Model:
    """What the store must hold: the oracle."""

    def __init__(self) -> None:
        self.rows: dict[int, list[int]] = {}
        self.events: dict[int, list[tuple[int, datetime, int]]] = defaultdict(list)

    def push(self, user: int, items: list[int], at: datetime) -> None:
        for item in items:
            row = self.rows.setdefault(user, [])
            self.events[user].append((item, at, row.count(item)))
            self.rows[user] = [item, *row]
        self.events[user], self.rows[user] = self.events[user][-SEEN:], self.rows[user][:SEEN]

    def publish(self, log: Log, cut: datetime) -> None:
        new = {user: [*reversed(items)][:SEEN] for user, items in log.items()}
        for user, events in self.events.items():
            row = new.get(user, [])
            events[:] = [e for e in events if e[1] > cut and row.count(e[0]) <= e[2]]
            if events:
                new[user] = [*(item for item, _, _ in reversed(events)), *row][:SEEN]
        self.rows = new


LOGS: tuple[Log, ...] = ({1: [10, 11], 2: [10]}, {2: [12, 10], 3: [11, 11, 12, 13]}, {1: [11], 4: [13, 10]})
STEPS = st.one_of(
    st.tuples(st.just("push"), st.sampled_from(USERS), st.lists(st.integers(10, 13), min_size=1, max_size=4)),
    st.tuples(st.just("publish"), st.sampled_from(range(len(LOGS))), st.floats(0, 1)),
)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> list[Artifact]:
    return [artifact_of(tmp_path_factory.mktemp("log"), log) for log in LOGS]


PROJECTS = count()


@given(steps=st.lists(STEPS, min_size=2, max_size=7))
@settings(deadline=None, max_examples=15)
def test_the_store_equals_the_model(
    artifacts: list[Artifact], tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    repo = tmp_path_factory.getbasetemp() / "published"
    section = FeatureStoreConfig(repo=str(repo), project=f"p{next(PROJECTS)}")
    feature_store.apply(section, artifacts[0])
    model, moments = Model(), [datetime(2024, 1, 1, tzinfo=UTC)]
    for name, what, more in steps:
        if name == "push":
            row = feature_store.push_history(section, what, more)
            moments.append(datetime.now(UTC))
            model.push(what, more, moments[-1])
            assert row == model.rows[what]
        else:
            cut = moments[int(more * (len(moments) - 1))]
            feature_store.materialize(section, replace(artifacts[what], metrics={"cut": cut.isoformat()}))
            model.publish(LOGS[what], cut)
        assert stored(section) == model.rows


def test_a_corrected_time_wins(section: FeatureStoreConfig, make: Make) -> None:
    log = {1: [10, 11], 2: [11, 12]}
    typed = make(log, time=lambda user, at: 4_102_444_800 if (user, at) == (1, 0) else START + at)
    feature_store.publish(section, make({**log, 1: [11, 10]}, time=lambda user, at: 4_102_444_800 + at))
    assert feature_store.publish(section, typed) and feature_store.publish(section, make(log))
    assert stored(section) == {1: [11, 10], 2: [12, 11]}


@pytest.mark.parametrize("typo", [False, True])
def test_the_cut_is_the_last_event_that_has_happened(make: Make, typo: bool) -> None:
    log = {1: [10, 11], 2: [10]}
    made = make(log, time=lambda user, at: 4_102_444_800 if typo and user == 2 else START + at)
    assert made.metrics["cut"] == datetime.fromtimestamp(START + 1, UTC).isoformat()


def test_what_the_artifact_lacks_is_deleted_in_every_view(section: FeatureStoreConfig, make: Make) -> None:
    feature_store.publish(section, make({1: [10], 2: [11], 3: [12]}))
    feature_store.publish(section, make({2: [11]}))
    assert stored(section) == {2: [11]}
    assert [keys(section, view) for view in ("user_profile", "item_features", "user_history")] == [1, 1, 1]
    query = FeatureQuery("shop", "item_id", {"item_features": ["price"]})
    assert open_reader(query, Path(section.repo), "sqlite", "").read([10, 11, 12]).known == [False, True, False]


def test_a_feature_that_the_view_no_longer_has_is_deleted(section: FeatureStoreConfig, make: Make) -> None:
    feature_store.publish(section, make({1: [10]}))
    file = Path(section.repo) / "data" / "online_store.db"
    columns = "entity_key, 'old', value, vector_value, event_ts, created_ts"
    with sqlite3.connect(file) as connection:
        connection.execute(f"INSERT INTO shop_user_history SELECT {columns} FROM shop_user_history LIMIT 1")
    feature_store.materialize(section, make({1: [10]}))
    with sqlite3.connect(file) as connection:
        names = connection.execute("SELECT DISTINCT feature_name FROM shop_user_history").fetchall()
    assert sorted(names) == [("history_ids",), ("rejected_ids",)]


def test_a_pushed_event_that_the_log_has_a_little_earlier_is_there_once(
    section: FeatureStoreConfig, make: Make
) -> None:
    feature_store.publish(section, make({1: [10, 11]}))
    feature_store.push_history(section, 1, [12, 11])
    feature_store.publish(section, make({1: [10, 11, 12]}))
    assert stored(section) == {1: [11, 12, 11]}, "12 is in the log now, the second 11 is not"


def test_a_killed_publication_is_finished_by_the_next_whichever_it_is(
    section: FeatureStoreConfig, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make({1: [10], 2: [11], 3: [12]}), make({1: [20], 2: [21], 4: [22]})
    for wanted, rows in ((second, {1: [20], 2: [21], 4: [22]}), (first, {1: [10], 2: [11], 3: [12]})):
        feature_store.publish(section, first)
        with monkeypatch.context() as patch:
            patch.setattr(Publication, "remove_others", die)
            with pytest.raises(ZeroDivisionError):
                feature_store.publish(section, second)
        assert feature_store.publish(section, wanted) is True
        assert stored(section) == rows
        assert feature_store.publish(section, wanted) is False


def die(publication: Publication) -> None:
    raise ZeroDivisionError


def test_pushes_between_the_batches_are_kept(
    section: FeatureStoreConfig, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    feature_store.publish(section, make({1: [10], 2: [11], 3: [12]}))
    batches = count(31)
    write = Publication.write

    def write_and_push(self: Publication, rows: Any) -> int:
        written = write(self, rows)
        if self.view.name == "user_history":
            item = next(batches)
            for user in (1, 2, 3, 4):
                feature_store.push_history(section, user, [item])
        return written

    monkeypatch.setattr(feature_store, "ROW_GROUP", 1)
    monkeypatch.setattr(Publication, "write", write_and_push)
    feature_store.publish(section, make({1: [20], 2: [21]}))
    assert stored(section) == {1: [32, 31, 20], 2: [32, 31, 21], 3: [32, 31], 4: [32, 31]}


@pytest.mark.parametrize("after", [True, False])
def test_a_row_pushed_by_feasts_own_api_stays_if_it_is_later_than_the_cut(
    section: FeatureStoreConfig, make: Make, after: bool
) -> None:
    feature_store.publish(section, make({1: [10], 2: [11]}))
    time = datetime.now(UTC) if after else datetime.fromtimestamp(START, UTC) - timedelta(days=1)
    row = {"user_id": [1, 3], "history_ids": [[7, 10], [8]], "rejected_ids": [[9], [9]], "event_timestamp": [time] * 2}
    feature_store.open_store(section).push(PUSH_SOURCE, pd.DataFrame(row))
    feature_store.publish(section, make({1: [12], 2: [11]}))
    assert stored(section) == ({1: [7, 10], 2: [11], 3: [8]} if after else {1: [12], 2: [11]})
    feature_store.push_history(section, 1, [13])
    feature_store.publish(section, make({1: [12, 10], 2: [11]}))
    assert stored(section) == {1: [13, 7, 10], 2: [11], 3: [8]} if after else {1: [13, 10, 12], 2: [11]}
