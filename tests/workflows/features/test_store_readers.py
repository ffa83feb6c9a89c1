"""What a live release reads stays in the online store; what would change its type is refused before any change."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from user_columns import Shop, looked_up

from cascade.core.errors import ReleaseError
from cascade.workflows.config import FeatureStoreConfig
from cascade.workflows.features import store as feature_store
from cascade.workflows.features.published import published_spec
from cascade.workflows.features.readers import KEPT, SERVED, lacking
from cascade.workflows.features.spec import FeatureSpec


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path, FeatureStoreConfig(repo=str(tmp_path / "repo"), project="shop"))


def features_in(shop: Shop, view: str = "user_profile") -> list[tuple[str, int]]:
    """Feature -> number of users that have it in the store."""
    query = f"SELECT feature_name, count(*) FROM shop_{view} GROUP BY 1 ORDER BY 1"
    with sqlite3.connect(Path(shop.section.repo) / "data" / "online_store.db") as connection:
        return [*connection.execute(query)]


def content(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_column_that_only_a_live_release_reads_stays_for_users_that_stay(shop: Shop) -> None:
    first = shop.features({"age": "int", "city": "string"})
    feature_store.publish(shop.section, first)
    newer = shop.features({"city": "string", "zip": "int"}, users=(2, 3), plus=1)
    feature_store.publish(shop.section, newer, [shop.reader(first)])
    found = looked_up(shop.lookup(first), shop.section, (1, 2, 3))
    assert (found["age"], found["city"]) == ([None, 20, None], [None, "21", "31"])
    assert found["known_user"] == [False, True, True] and not any(found["features_stale"])
    assert looked_up(shop.lookup(newer), shop.section, (2, 3))["zip"] == [21, 31]


def test_a_user_that_goes_leaves_nothing_of_it(shop: Shop) -> None:
    first = shop.features({"age": "int"})
    feature_store.publish(shop.section, first)
    feature_store.publish(shop.section, shop.features({"city": "string"}, users=(2,)), [shop.reader(first)])
    assert features_in(shop) == [("age", 1), ("city", 1)]
    found = looked_up(shop.lookup(first), shop.section, (1, 2))
    assert (found["known_user"], found["age"]) == ([False, True], [None, 20])


def test_it_goes_when_no_live_release_reads_it_any_more(shop: Shop) -> None:
    first, newer = shop.features({"age": "int", "city": "string"}), shop.features({"city": "string"})
    feature_store.publish(shop.section, first)
    feature_store.publish(shop.section, newer, [shop.reader(first)])
    assert features_in(shop) == [("age", 2), ("city", 2)]
    feature_store.materialize(shop.section, newer, [shop.reader(first, columns=["city"])])
    assert features_in(shop) == [("city", 2)]


def test_a_column_that_nobody_reads_may_change_its_type(shop: Shop) -> None:
    first, newer = shop.features({"age": "int", "city": "string"}), shop.features({"age": "string"})
    feature_store.publish(shop.section, first)
    feature_store.publish(shop.section, newer, [shop.reader(first, columns=["city"])])
    assert looked_up(shop.lookup(newer), shop.section, (1, 2))["age"] == ["10", "20"]
    assert looked_up(shop.lookup(first, columns=["city"]), shop.section, (1, 2))["city"] == ["10", "20"]


@pytest.mark.parametrize("columns", [["age"], []])
def test_profiles_stay_where_the_new_data_has_none(shop: Shop, columns: list[str]) -> None:
    first = shop.features({"age": "int", "city": "string"}, users=(1, 2, 3))
    feature_store.publish(shop.section, first)
    newer = shop.features({}, users=(2, 3, 4))
    feature_store.push_history(shop.section, 1, [77])  # after the cut of the new data, so the history stays
    feature_store.publish(shop.section, newer, [shop.reader(first, columns=columns)])
    found = looked_up(shop.lookup(first, columns=columns), shop.section, (1, 2, 3, 4))
    assert columns == [] or found["age"] == [10, 20, 30, None]
    assert found["known_user"] == [True] * 4
    assert found["history_ids"] == [[77], [12, 10], [13, 10], [14, 10]]
    feature_store.publish(shop.section, shop.features({}, users=(2,)), [shop.reader(first, columns=columns)])
    assert looked_up(shop.lookup(first, columns=columns), shop.section, (1, 2, 3))["known_user"] == [True, True, False]
    feature_store.materialize(shop.section, newer)
    assert looked_up(shop.lookup(newer), shop.section, (2, 3))["known_user"] == [True, True]


OTHER_TYPES: list[tuple[dict[str, Any], str]] = [
    ({"columns": {"age": "string"}}, "user_profile.age as int, and the new data has string.*another name"),
    ({"columns": {"age": "float"}}, "user_profile.age as int, and the new data has float"),
    ({"columns": {"age": "int"}, "ids": ("string", "int")}, "user_id as int, and the new data has string.*as before"),
    ({"columns": {"age": "int"}, "ids": ("int", "string")}, "item_id as int, and the new data has string"),
    ({"columns": {"age": "int"}, "seen": 2}, "3 items of a history, and history.seen is 2.*[Ss]et history.seen to 3"),
    ({"columns": {"age": "int"}, "gaps": False}, "user_history.history_times, which needs history.gaps.*to true"),
]


@pytest.mark.parametrize(("new", "message"), OTHER_TYPES)
def test_another_type_is_refused_before_anything_changes(shop: Shop, new: dict[str, Any], message: str) -> None:
    first, other = shop.features({"age": "int"}, gaps=True), shop.features(**{"gaps": True, **new})
    reader = shop.reader(first, times=2)
    feature_store.publish(shop.section, first)
    before = content(Path(shop.section.repo))
    for change in (feature_store.publish, feature_store.apply, feature_store.materialize, feature_store.definitions):
        with pytest.raises(ReleaseError, match=rf"(?s)release 9fba \(stable\) reads {message}.*project"):
            change(shop.section, other, [reader])
        assert content(Path(shop.section.repo)) == before
    assert feature_store.publish(shop.section, other) is True, "without readers it is as ever"


@pytest.mark.parametrize(
    ("role", "advice"),
    [
        ("stable", "--take-over`$"),
        (SERVED, "--take-over`$"),
        ("previous", r"cascade release retire 9fba --previous`$"),
        ("canary", "cascade release stop`$"),
        (KEPT, "repair the live set"),
    ],
)
def test_what_to_do_depends_on_what_the_release_is_there_for(shop: Shop, role: str, advice: str) -> None:
    first, other = shop.features({"age": "int"}), shop.features({"age": "string"})
    with pytest.raises(ReleaseError, match=advice):
        feature_store.publish(shop.section, other, [shop.reader(first, role)])


def test_a_longer_history_is_cut_for_a_release_that_reads_fewer_items(shop: Shop) -> None:
    first = shop.features({"age": "int"}, seen=1)
    feature_store.publish(shop.section, first)
    before = looked_up(shop.lookup(first), shop.section, (1, 2))
    feature_store.publish(shop.section, shop.features({"age": "int"}, seen=9), [shop.reader(first)])
    assert looked_up(shop.lookup(first), shop.section, (1, 2)) == before


def test_what_is_published_tells_what_a_release_would_lack(shop: Shop) -> None:
    first, newer = shop.features({"age": "int", "city": "string"}), shop.features({"city": "string"})
    assert published_spec(shop.section) is None
    feature_store.publish(shop.section, first)
    feature_store.publish(shop.section, newer, [shop.reader(first)])
    kept = published_spec(shop.section)
    assert kept is not None and lacking(kept, shop.reader(first)) == []
    gone = FeatureSpec.load(newer.path)
    assert lacking(gone, shop.reader(first)) == ["user_profile.age, which the store lacks"]
    retyped = FeatureSpec.load(shop.features({"age": "string", "city": "string"}).path)
    assert lacking(retyped, shop.reader(first)) == ["user_profile.age as int, and the store has string"]
    bare = FeatureSpec.load(shop.features({}).path)
    assert lacking(bare, shop.reader(first, columns=[])) == ["user_profile, which the store lacks"]
