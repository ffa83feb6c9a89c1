"""Equal times of one user: a drawn order, whatever the order of the rows, and a set where that is nearly all."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.workflows.data.ties import Ties, as_written, in_order, item_orders, mixed, ties_of

SCHEMA = {"sparse": ["user_id", "item_id"]}
RNG = np.random.default_rng(0)
USER = np.repeat(np.arange(40), 8)
ITEM = np.concatenate([np.sort(RNG.permutation(30)[:8]) for _ in range(40)])
"""[320] each, those of a user ascending."""
DAY = 1_700_000_000 // 86400 * 86400
TIMES = {
    "one time for each user": DAY + 86400 * USER,
    "but one": DAY + 86400 * USER + (np.arange(320) == 0),
    "two baskets": DAY + 86400 * (np.arange(320) % 2),
    "pairs": DAY + np.arange(320) // 2,
}


def stored(run_data, order, time, **data):
    log = {"user_id": USER[order], "item_id": ITEM[order], "timestamp": time[order]}
    artifact = run_data(SCHEMA, {"interactions": log}, **data)
    return artifact, ds.dataset(artifact.path / "interactions").to_table().to_pylist()


@pytest.mark.slow
@pytest.mark.parametrize("split", ["last_item", "time", "new_items"])
@pytest.mark.parametrize("time", TIMES.values(), ids=TIMES)
def test_no_order_of_the_rows_changes_the_artifact(run_data, time, split):
    orders = (np.arange(320), np.argsort(-ITEM, kind="stable"), RNG.permutation(320))
    first, *others = [stored(run_data, order, time, split={"by": split})[1] for order in orders]
    assert [rows == first for rows in others] == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize("time", TIMES.values(), ids=TIMES)
def test_the_held_out_item_is_not_the_one_of_the_largest_id(run_data, time):
    _, rows = stored(run_data, np.arange(320), time)
    largest = np.maximum.reduceat(ITEM, np.arange(0, 320, 8))
    held_out = [row["item_id"] == largest[row["user_id"]] for row in rows if row["split"] == "test"]
    assert len(held_out) == 40
    assert np.mean(held_out) < 0.75  # of a pair, every second one


@pytest.mark.parametrize(
    ("time", "ordered", "said"),
    [
        ("one time for each user", False, "100% of the positives .* is a set, .*one random positive of each user"),
        ("but one", False, "100% of the positives .* is a set"),
        ("two baskets", True, "100% of the positives .*: their order is drawn.*data.columns.order"),
        ("pairs", True, "100% of the positives .*: their order is drawn"),
    ],
)
def test_what_a_run_makes_of_it_and_says(run_data, time, ordered, said):
    artifact, _ = stored(run_data, np.arange(320), TIMES[time])
    assert json.loads((artifact.path / "tables.json").read_text())["has_timestamp"] is ordered
    [notice] = artifact.metrics["notices"]
    assert re.search(said, notice)


def test_a_named_order_makes_one_time_a_sequence(run_data):
    log = {"user_id": USER, "item_id": ITEM, "timestamp": TIMES["one time for each user"], "place": -ITEM}
    artifact = run_data(SCHEMA, {"interactions": log}, columns={"order": "place"})
    rows = ds.dataset(artifact.path / "interactions").to_table().to_pylist()
    assert [row["item_id"] for row in rows] == ITEM.reshape(40, 8)[:, ::-1].ravel().tolist()
    assert "notices" not in artifact.metrics


def test_few_ties_are_no_notice(run_data):
    artifact, _ = stored(run_data, np.arange(320), DAY + np.maximum(np.arange(320), 100))
    assert "notices" not in artifact.metrics


def test_shares_by_hand():
    user, time = np.array([7, 7, 7, 7, 8, 9, 9]), np.array([5, 1, 5, 5, 5, 2, 2])
    assert ties_of(user, time, [user]) == Ties(5 / 6, (3 * 2 / 3 + 2 * 1) / 6)
    assert ties_of(user[4:5], time[4:5], [user[4:5]]) == Ties() == ties_of(user[:0], time[:0], [user[:0]])
    baskets = ties_of(np.zeros(100, int), np.repeat(np.arange(10), 10), [np.arange(100)])
    assert baskets == Ties(1.0, pytest.approx(9 / 99)) and not baskets.is_set


SECONDS = np.sort(RNG.integers(0, 3000, 2000))
"""Times of a log in which some events of a user fall into one second."""
LOG = RNG.integers(0, 3, 2000), SECONDS, RNG.integers(0, 30, 2000)


@pytest.mark.parametrize(
    ("order", "counts"),
    [
        (np.arange(2000), True),
        (np.argsort(LOG[0], kind="stable"), True),
        (RNG.permutation(2000), False),
        (np.arange(2000)[::-1], False),
        (np.argsort(LOG[2], kind="stable"), False),
        (np.lexsort((LOG[2], LOG[1])), False),
        (np.lexsort((-LOG[2], LOG[1], LOG[0])), False),
    ],
    ids=["by time", "by user", "shuffled", "newest first", "by item", "by time and item", "by user, time and -item"],
)
def test_the_order_of_rows_counts_if_they_stand_as_a_log_writes_them(order, counts):
    user, time, item = (values[order] for values in LOG)
    assert as_written(user, time, [item]) is counts


def test_a_few_events_that_came_late_leave_it_a_log():
    user, time, item = (values.copy() for values in LOG)
    for at in RNG.permutation(1990)[:5]:
        time[at] += 100
    assert as_written(user, time, [item])


def test_the_same_item_twice_does_not_hide_that_a_basket_is_sorted():
    user, time = np.repeat(np.arange(30), 6), np.repeat(np.arange(30), 6)
    item = np.sort(RNG.permutation(100)[:5])[np.r_[0, 0:5]]
    assert not as_written(user, time, [np.tile(item, 30)])


@pytest.mark.parametrize("key", [str, int, lambda text: -int(text)], ids=["as text", "as numbers", "falling"])
def test_ids_of_text_are_sorted_in_several_ways(run_data, key):
    """Baskets of numbers that are text: the table is sorted, so it is no log, and the order of equal times is drawn."""
    items = np.array([sorted(map(str, RNG.permutation(130)[:5]), key=key) for _ in range(300)])
    log = {"user_id": np.repeat(np.arange(60), 25), "timestamp": np.repeat(DAY + 86400 * np.arange(300), 5)}
    artifact = run_data(SCHEMA, {"interactions": log | {"item_id": items.ravel()}}, leak_check={"enabled": False})
    assert re.search("their order is drawn", artifact.metrics["notices"][0])


def test_ids_of_text_without_case():
    ids = pa.array(sorted(["A0", "B1", "a1", "b0", "c2"]))
    by_id, by_length, without_case = item_orders(ids)
    assert by_id.tolist() == [0, 1, 2, 3, 4] == by_length.tolist()
    assert without_case.tolist() == [0, 3, 1, 2, 4]  # A0 a1 b0 B1 c2


def test_equal_times_of_a_log_stay_in_the_order_of_the_rows(run_data):
    user, time, item = LOG
    events = {"user_id": user, "item_id": item, "timestamp": time}
    artifact = run_data(SCHEMA, {"interactions": events}, leak_check={"enabled": False})
    rows = ds.dataset(artifact.path / "interactions").to_table()
    for one in range(3):
        of_user = rows.filter(ds.field("user_id") == one)
        assert of_user["item_id"].to_pylist() == item[user == one].tolist()


EVENT = st.tuples(*(st.integers(0, top) for top in (2, 3, 3)), st.sampled_from([None, 0.5, 1.0]))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(EVENT, max_size=30), st.randoms(use_true_random=False), st.booleans())
def test_twins_too_are_in_one_order(events, random, fractions):
    def sorted_rows(rows):
        user, item, time, price = zip(*rows, strict=True) if rows else [[]] * 4
        time = pa.array(time, pa.int64())
        columns = {"user_id": user, "item_id": pa.array(item, pa.int64()), "price": pa.array(price, pa.float64())}
        lists = pa.array([[] if p is None else [p] for p in price], pa.list_(pa.float64()))
        part = pa.table({**columns, "timestamp": time.cast(pa.float64()) if fractions else time, "list": lists})
        order = in_order(part, np.array(user, np.int32), pa.array(range(4)), [])
        return part.take(order).to_pylist()

    shuffled = events.copy()
    random.shuffle(shuffled)
    found = sorted_rows(events)
    assert found == sorted_rows(shuffled)
    assert [(row["user_id"], row["timestamp"]) for row in found] == sorted((e[0], e[2]) for e in events)


def test_the_next_basket_has_another_order():
    user, item, time = np.zeros(2000, np.int32), np.tile([1, 2], 1000), np.repeat(np.arange(1000), 2)
    part = pa.table({"user_id": user, "item_id": item, "timestamp": time})
    first = item[in_order(part, user, pa.array([0, 1, 2]), [])][::2]
    assert 0.45 < (first == 1).mean() < 0.55
    assert len(np.unique(mixed(time))) == 1000 and mixed(time).min() >= 0
