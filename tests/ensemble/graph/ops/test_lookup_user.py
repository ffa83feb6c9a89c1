"""LookupUser on a sqlite store that Feast wrote."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cascade.core.errors import ConfigError, FeatureStoreError
from cascade.ensemble.graph.ops.lookup_user import LookupUser
from cascade.ensemble.repository.user_lookup import user_lookup
from cascade.testing.feature_data import shop_features
from cascade.testing.op_contract import OpContract
from cascade.workflows.config import FeatureStoreConfig
from cascade.workflows.features import store as feature_store
from cascade.workflows.features.online import OnlineRows

NO_ITEM = np.iinfo(np.int64).min


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("shop")
    section = FeatureStoreConfig(repo=str(folder / "repo"), project="shop")
    artifact = shop_features(folder, section)
    feature_store.publish(section, artifact)
    return SimpleNamespace(section=section, artifact=artifact)


@pytest.fixture(autouse=True)
def live(shop: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASCADE_FEATURE_REPO", shop.section.repo)


@pytest.fixture
def op(shop: SimpleNamespace) -> LookupUser:
    op = user_lookup(shop.artifact.path, shop.section)
    op.load(Path())
    return op


def users(*ids: int) -> dict[str, NDArray[Any]]:
    return {"user_id": np.array(ids, dtype=np.int64).reshape(-1, 1)}


class TestLookupUser(OpContract):
    @pytest.fixture
    def op(self, shop: SimpleNamespace) -> LookupUser:
        op = user_lookup(shop.artifact.path, shop.section)
        op.load(Path())
        return op

    def make_batch(self) -> dict[str, NDArray[Any]]:
        return users(1, 0, 777, 4, 17)


@pytest.fixture
def with_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LookupUser:
    """Reads two times of each history."""
    section = FeatureStoreConfig(repo=str(tmp_path / "repo"), project="times")
    artifact = shop_features(tmp_path, section, gaps=True)
    feature_store.publish(section, artifact)
    monkeypatch.setenv("CASCADE_FEATURE_REPO", section.repo)
    op = user_lookup(artifact.path, section, times=2)
    op.load(Path())
    return op


class TestLookupUserWithTimes(OpContract):
    @pytest.fixture
    def op(self, with_times: LookupUser) -> LookupUser:
        return with_times

    def make_batch(self) -> dict[str, NDArray[Any]]:
        return users(1, 0, 777, 4, 17)


def test_times_by_hand(with_times: LookupUser) -> None:
    """User 3 had items 3 to 6 at 0, 10, 20 and 30 s. User 4 had 7 and 8 last; they are no positives."""
    got = with_times(users(3, 4, 0, 777))
    assert got["history_ids"][:2, :2].tolist() == [[6, 5], [6, 5]]
    assert got["history_times"].tolist() == [[30, 20], [20, 10], [0, NO_ITEM], [NO_ITEM] * 2]


def test_known_columns_by_hand(op: LookupUser) -> None:
    got = op(users(3, 10))
    assert got["age"].tolist() == [[NO_ITEM], [2**53 + 10]]
    assert got["city"].tolist() == [["c3"], ["c10"]]
    np.testing.assert_array_equal(got["income"], [[1.0], [np.nan]])
    assert got["tags"].tolist() == [["t", "t", "t"], ["t", "t", None]]
    assert got["history_ids"].tolist() == [[6, 5, 4, 3], [3, 2, 1, NO_ITEM]]
    assert got["rejected_ids"].tolist() == [[NO_ITEM], [NO_ITEM]]
    assert got["known_user"].tolist() == [[True], [True]]


def test_lists_are_as_wide_as_the_longest_of_the_batch(op: LookupUser) -> None:
    """User 3 had 3, 4, 5, 6 in this order, user 4 had 4 to 8, and user 7 had 7, 8, 0 to 5."""
    got = op(users(3, 4, 7))
    assert got["rejected_ids"].tolist() == [[NO_ITEM, NO_ITEM], [8, 7], [8, 7]]
    assert got["history_ids"].tolist() == [[6, 5, 4, 3, NO_ITEM], [6, 5, 4, NO_ITEM, NO_ITEM], [5, 4, 3, 2, 1]]


def test_an_unknown_user_is_all_missing(op: LookupUser) -> None:
    got = op(users(777))
    assert (got["city"].tolist(), got["tags"].tolist()) == ([[None]], [[None]])
    assert np.isnan(got["income"]).all()
    assert (got["history_ids"] == NO_ITEM).all() and (got["rejected_ids"] == NO_ITEM).all()
    assert got["known_user"].tolist() == got["features_stale"].tolist() == [[False]]


def test_a_user_of_one_view_is_known(shop: SimpleNamespace, op: LookupUser) -> None:
    feature_store.push_history(shop.section, 500, [4])
    got = op(users(500))
    assert got["known_user"].tolist() == [[True]]
    assert (got["history_ids"][:, 0].tolist(), got["city"].tolist()) == ([4], [[None]])


def test_a_push_changes_the_next_lookup(shop: SimpleNamespace, op: LookupUser) -> None:
    before = op(users(17))
    feature_store.push_history(shop.section, 17, [0, 3])
    after = op(users(17))
    assert after["history_ids"][0].tolist() == [3, 0, *before["history_ids"][0].tolist()]
    assert after["rejected_ids"].tolist() == before["rejected_ids"].tolist() == [[8]]


def test_a_history_has_at_most_the_configured_number_of_ids(shop: SimpleNamespace) -> None:
    op = LookupUser("shop", {}, "int", "int", 2, {"user_history": ["history_ids"]})
    op.load(Path())
    assert op(users(3, 10))["history_ids"].tolist() == [[6, 5], [3, 2]]


def test_reads_only_the_columns_asked_for(shop: SimpleNamespace) -> None:
    op = user_lookup(shop.artifact.path, shop.section, ["city"])
    op.load(Path())
    assert set(op(users(3))) == {"city", "history_ids", "rejected_ids", "known_user", "features_stale"}
    none = user_lookup(shop.artifact.path, shop.section, [])
    none.load(Path())
    assert none(users(0, 777))["known_user"].tolist() == [[True], [False]]


def test_a_column_that_the_store_lacks_is_an_error(shop: SimpleNamespace) -> None:
    with pytest.raises(ConfigError, match="user_profile: lacks height; it has age, city, income, tags"):
        user_lookup(shop.artifact.path, shop.section, ["height"])


def test_a_value_of_another_type_is_missing(shop: SimpleNamespace) -> None:
    op = LookupUser("shop", {"city": "float"}, "int", "string", 2, {"user_profile": ["city"], "user_history": []})
    op.load(Path())
    got = op(users(3))
    assert np.isnan(got["city"]).all()
    assert got["history_ids"].tolist() == [[None]]
    assert got["known_user"].tolist() == [[True]]


def test_a_missing_user_id_is_unknown(shop: SimpleNamespace) -> None:
    op = LookupUser("shop", {}, "string", "int", 1, {"user_history": ["history_ids"]})
    op.load(Path())
    assert op({"user_id": np.array([[None], ["a"]], dtype=object)})["known_user"].tolist() == [[False], [False]]


def test_many_users_in_one_call(op: LookupUser) -> None:
    got = op(users(*range(40_000)))
    assert got["known_user"][:20].all()
    assert got["known_user"].sum() in (20, 21)  # 500 is known once another test has pushed for it


def test_a_store_that_fails_is_reported_and_logged_once(op: LookupUser, caplog: pytest.LogCaptureFixture) -> None:
    working = op.reader

    class Broken:
        def read(self, keys: Any) -> Any:
            raise FeatureStoreError("gone")

    op.reader = Broken()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            got = op(users(3, 777))
    assert got["features_stale"].tolist() == [[True], [True]]
    assert got["known_user"].tolist() == [[False], [False]]
    assert [record.getMessage() for record in caplog.records] == ["answering without user features: gone"]
    op.reader = working
    assert op(users(3))["features_stale"].tolist() == [[False]]


def test_no_store_is_an_error_on_load(shop: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    op = user_lookup(shop.artifact.path, shop.section)
    monkeypatch.delenv("CASCADE_FEATURE_REPO")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FeatureStoreError, match=r"^feature_repo/data/online_store.db: no online store"):
        op.load(Path())


def test_export_holds_neither_paths_nor_passwords(shop: SimpleNamespace) -> None:
    assert shop.section.repo not in str(user_lookup(shop.artifact.path, shop.section).params())
    section = shop.section.model_copy(update={"online": "redis", "redis": "cache:6379,password=secret,db=1"})
    assert user_lookup(shop.artifact.path, section).redis == "cache:6379,db=1"


DAMAGED = {
    "no message": b"\xff\xff\xff",
    "cut off": b"\x12",
    "no length": b"\x72",
    "too short": b"\x12\x09abc",
    "no UTF-8": b"\x12\x02\xff\xfe",
    "a list cut off": b"\x72\x08\x0a\x06\x01",
}


@pytest.mark.parametrize("value", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_value_leaves_one_user_without_features_and_the_others_with_theirs(
    op: LookupUser, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    whole, read = op(users(0, 1, 4)), op.reader.read
    known = whole["known_user"][:, 0]
    for feature in op.reader.read([0, 1, 4]).values:

        def damaged(keys: Any, feature: str = feature) -> Any:
            rows = read(keys)
            column = list(rows.values[feature])
            column[1] = value
            return OnlineRows(rows.known, {**rows.values, feature: column})

        op.read_from(SimpleNamespace(read=damaged))  # type: ignore[arg-type]
        found = op(users(0, 1, 4))
        assert found["features_stale"][:, 0].tolist() == [False, True, False]
        assert found["known_user"][:, 0].tolist() == [known[0], False, known[2]]
        for name in ("history_ids", *op.columns):
            width = min(whole[name].shape[1], found[name].shape[1])
            for row in (0, 2):
                np.testing.assert_array_equal(found[name][row, :width], whole[name][row, :width])
        assert "damaged value" in caplog.text
