"""A refreshed release: new items are served by their content, gone ones are not, and all else is as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refresh_shop import ITEMS, USERS, Shop, some_item

from cascade.ensemble.graph.ops import LookupItems, Respond, Retrieve
from cascade.ensemble.repository.golden import Golden
from cascade.rollout.config import GatesConfig
from cascade.rollout.gates.golden import golden_verdict
from cascade.rollout.refresh.kept_release import taken_off

pytestmark = pytest.mark.slow

KEPT = ("query", "history", "candidate_rows", "logits", "item_vectors")


def answers(shop: Shop, release: str) -> dict[str, Any]:
    """What all users, and one that nobody knows, get; all items that a release can give."""
    executor = shop.executor(release)
    users = np.append(np.arange(USERS), 10_000)[:, None]
    most = min(100, len(item_ids(shop, release)))
    asked = {"user_id": users, "top_k": np.full((len(users), 1), most, np.int32), "seed": np.zeros_like(users)}
    return executor.run({**asked, "temperature": np.zeros(users.shape, np.float32)}, KEPT)[0]


def op(shop: Shop, release: str, kind: str) -> Any:
    return next(node.op for node in shop.executor(release).nodes if node.op.kind == kind)


def item_ids(shop: Shop, release: str) -> list[Any]:
    found: list[Any] = op(shop, release, Respond.kind).item_ids.tolist()
    return found


def vectors(shop: Shop, release: str) -> dict[Any, Any]:
    table = op(shop, release, LookupItems.kind).tables["item_vectors"]
    return dict(zip(item_ids(shop, release), np.asarray(table), strict=True))


def logits(shop: Shop, release: str) -> dict[tuple[int, Any], float]:
    """(user, item) -> score before sigmoid."""
    found, ids = answers(shop, release), item_ids(shop, release)
    pairs = zip(*np.nonzero(found["candidate_rows"] >= 0), strict=True)
    return {(u, ids[found["candidate_rows"][u, k]]): float(found["logits"][u, k]) for u, k in pairs}


@pytest.fixture(params=["shop", "text_shop"])
def any_shop(request: pytest.FixtureRequest) -> Shop:
    made: Shop = request.getfixturevalue(request.param)
    return made


def fresh_id(shop: Shop, number: int) -> Any:
    return f"new{number}" if isinstance(shop.items[0]["item_id"], str) else 7 + 10 * number


def test_the_same_items_make_no_release(any_shop, tmp_path):
    done = any_shop.refresh(any_shop.release, tmp_path, items=any_shop.items[::-1])
    assert done.release is None and (done.items, done.new, done.changed, done.removed) == (ITEMS, 0, 0, 0)


def test_a_new_item_is_retrieved_and_served_by_its_content(any_shop, tmp_path):
    item = {**any_shop.items[4], "item_id": fresh_id(any_shop, 0), "brand": "never seen", "title": "lamp"}
    done = any_shop.refresh(any_shop.release, tmp_path, add=[item])
    assert (done.items, done.new, done.changed, done.removed) == (ITEMS + 1, 1, 0, 0)
    vector = vectors(any_shop, done.release)[item["item_id"]]
    np.testing.assert_allclose(vector, any_shop.tower([item])[0], atol=1e-6)
    found = answers(any_shop, done.release)
    assert (found["item_ids"] == item["item_id"]).any(axis=1).all()  # nobody had it before, and all items are shown
    row = item_ids(any_shop, done.release).index(item["item_id"])
    np.testing.assert_array_equal(op(any_shop, done.release, Retrieve.kind).index.reconstruct(row), vector)


def test_an_item_that_is_gone_is_in_no_answer_and_histories_mean_what_they_did(any_shop, tmp_path):
    before, gone = answers(any_shop, any_shop.release), [item["item_id"] for item in any_shop.items[:20]]
    done = any_shop.refresh(any_shop.release, tmp_path, items=any_shop.items[20:])
    assert (done.items, done.removed) == (ITEMS - 20, 20)
    after = answers(any_shop, done.release)
    assert not np.isin(after["item_ids"], gone).any() and np.isin(before["item_ids"], gone).any()
    np.testing.assert_array_equal(after["history"], before["history"])
    np.testing.assert_array_equal(after["query"], before["query"])
    scores = logits(any_shop, any_shop.release)
    assert logits(any_shop, done.release) == {key: score for key, score in scores.items() if key[1] not in gone}


def test_a_changed_item_moves_and_no_other(any_shop, tmp_path):
    item = {**any_shop.items[7], "price": 999.0, "tags": ["big"], "image": [0.0, 1.0, 0.0], "title": "table shelf"}
    done = any_shop.refresh(any_shop.release, tmp_path, items=[*any_shop.items[:7], item, *any_shop.items[8:]])
    assert (done.items, done.new, done.changed, done.removed) == (ITEMS, 0, 1, 0)
    before, after = vectors(any_shop, any_shop.release), vectors(any_shop, done.release)
    np.testing.assert_allclose(after[item["item_id"]], any_shop.tower([item])[0], atol=1e-6)
    assert not np.allclose(after.pop(item["item_id"]), before.pop(item["item_id"]))
    for number, vector in after.items():
        np.testing.assert_array_equal(vector, before[number])


def test_there_and_back_again_is_the_release_before(any_shop, tmp_path):
    others = [some_item(fresh_id(any_shop, at), 100 + at) for at in range(5)]
    there = any_shop.refresh(any_shop.release, tmp_path, items=[*any_shop.items[10:50], *others])
    back = any_shop.refresh(there.release, tmp_path, items=any_shop.items)
    assert (back.new, back.removed) == (20, 5)
    before, after = answers(any_shop, any_shop.release), answers(any_shop, back.release)
    np.testing.assert_array_equal(after["item_ids"], before["item_ids"])
    np.testing.assert_allclose(after["logits"], before["logits"], atol=1e-5)


def test_the_rest_stays_where_only_changes_are_named(shop, tmp_path):
    new, changed = some_item(5, 77), {**shop.items[2], "year": 1900}
    done = shop.refresh(shop.release, tmp_path, add=[new, changed], remove=shop.items[30:35])
    assert (done.new, done.changed, done.removed) == (1, 1, 5)
    wanted = {item["item_id"] for item in shop.items} - {item["item_id"] for item in shop.items[30:35]} | {5}
    assert item_ids(shop, done.release) == sorted(wanted)
    ids, named = taken_off(shop.version(done.release))
    assert sorted(ids) == [item["item_id"] for item in shop.items[30:35]] and named.all()
    again = shop.refresh(done.release, tmp_path, items=[new, changed, *shop.items[3:30], *shop.items[34:]])
    ids, named = taken_off(shop.version(again.release))
    assert {number: bool(each) for number, each in zip(ids, named, strict=True)} == {
        **dict.fromkeys([300, 310, 320, 330], True),
        **dict.fromkeys([0, 10], False),
    }


def test_a_removal_of_what_is_not_there_does_nothing(shop, tmp_path):
    gone = [some_item(123_456, 1), some_item(123_457, 1)]
    done = shop.refresh(shop.release, tmp_path, remove=gone)
    assert (done.release, done.removed, done.not_there) == (None, 0, 2)
    done = shop.refresh(shop.release, tmp_path, remove=[*gone, *shop.items[:3]])
    assert (done.removed, done.not_there) == (3, 2)


CHANGES = st.lists(st.tuples(st.integers(0, 80), st.sampled_from(["take off", "change", "as before"])), max_size=30)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_any_changes_give_the_vectors_of_the_pipeline(shop, tmp_path, changes):
    """Against the fitted workflow and the tower on the whole table; numbers from 60 on are of new items."""
    wanted = {item["item_id"]: item for item in shop.items}
    for number, what in changes:
        number = 10 * number
        if what == "take off" and len(wanted) > 2:
            wanted.pop(number, None)
        elif what == "change" or (what == "as before" and number >= 10 * ITEMS):
            wanted[number] = some_item(number, 1000 + number)
        elif what == "as before":
            wanted[number] = shop.items[number // 10]
    done = shop.refresh(shop.release, tmp_path, items=list(wanted.values()))
    release = done.release or shop.release
    found = vectors(shop, release)
    assert list(found) == sorted(wanted)
    expected = shop.tower([wanted[number] for number in found])
    np.testing.assert_allclose(np.stack(list(found.values())), expected, atol=1e-6)
    lists = answers(shop, release)["item_ids"]
    assert set(lists.ravel()) - {-1} <= set(wanted)


@pytest.mark.parametrize(
    "settings",
    [
        {"layout": "ensemble"},
        {"layout": "ensemble", "backend": "onnxruntime"},
        {"split": True},
    ],
    ids=str,
)
def test_all_layouts_answer_alike(another, shop, tmp_path, settings):
    made, item = another(**settings), some_item(15, 200)
    release = made.refresh(made.release, tmp_path, items=[*made.items[5:], item]).release
    made.store.verify(release)
    found = answers(made, release)
    assert set(found["release"].ravel()) == {release}
    assert (found["item_ids"] == 15).any(axis=1).all()
    if not settings.get("split"):
        expected = answers(shop, shop.refresh(shop.release, tmp_path, items=[*shop.items[5:], item]).release)
        np.testing.assert_array_equal(found["item_ids"], expected["item_ids"])


def test_only_files_with_items_are_written_again(another, tmp_path, monkeypatch):
    monkeypatch.setattr("cascade.core.files.LINK_FROM", 0)  # these files are small
    shop = another()
    release = shop.refresh(shop.release, tmp_path, items=shop.items[1:]).release
    one, other = shop.version(shop.release), shop.version(release)

    def same(name: str) -> bool:
        return (one / name).samefile(other / name)

    names = [str(file.relative_to(one)) for file in one.rglob("*") if file.is_file()]
    shared = {Path(name).name for name in names if (other / name).is_file() and same(name)}
    assert {"query_tower.onnx", "ranker.onnx", "item_tower.onnx", "brand.json"} <= shared
    assert not shared & {"index.faiss", "item_vectors.npy", "item_ids.npy", "item_codes.npy", "row_hashes.npy"}


def test_nothing_stays_of_a_refresh_that_fails(shop, tmp_path, monkeypatch):
    def fail(*arguments: Any) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr("cascade.rollout.refresh.rebuild.write", fail)
    before = sorted(shop.store.place.parent.rglob("*"))
    with pytest.raises(RuntimeError, match="in the middle"):
        shop.refresh(shop.release, tmp_path, items=shop.items[9:])
    assert sorted(shop.store.place.parent.rglob("*")) == before


def test_golden_requests_are_answered_again(any_shop, tmp_path):
    gone = {item["item_id"] for item in any_shop.items[:20]}
    done = any_shop.refresh(any_shop.release, tmp_path, items=any_shop.items[20:])
    before, after = (Golden.load(any_shop.version(release)) for release in (any_shop.release, done.release))
    assert {item.item_id for answer in before.recorded for item in answer.items} & gone
    assert not {item.item_id for answer in after.recorded for item in answer.items} & gone
    assert after.requests.columns["user_id"].tolist() == before.requests.columns["user_id"].tolist()
    assert golden_verdict(after, any_shop.executor(done.release), GatesConfig()).state == "pass"
    any_shop.store.verify(done.release)
