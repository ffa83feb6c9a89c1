"""``data.unknown``: interactions of users and items that the tables lack."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.errors import DataError
from cascade.workflows.data.unknown import UnknownIds
from cascade.workflows.tables.rows import Rows

EVENTS = {
    "user_id": [1, 1, 1, 1, 2, 2, 2, 9, 9],
    "item_id": ["a", "b", "x", "c", "a", "b", "c", "a", "y"],
    "timestamp": [1, 2, 3, 4, 1, 2, 3, 1, 2],
}
TABLES = {
    "interactions": EVENTS,
    "users": {"user_id": [1, 2]},
    "items": {"item_id": ["a", "b", "c"], "price": [1.0, 2.0, 3.0], "tags": [["t"], [], ["u"]]},
}
SCHEMA = {"sparse": ["user_id", "item_id", "tags"], "dense": ["price"]}


def events(data):
    return pq.read_table(data.path / "interactions").select(["user_id", "item_id"]).to_pydict()


def test_refused_with_the_key_that_helps(run_data):
    with pytest.raises(
        DataError, match=r"interactions\.user_id, row 7: 9 is not in users\.user_id; data\.unknown: drop"
    ):
        run_data(SCHEMA, TABLES)


def test_dropped(run_data, caplog):
    data = run_data(SCHEMA, TABLES, unknown="drop")
    kept = {"user_id": [1, 1, 1, 2, 2, 2], "item_id": ["a", "b", "c", "a", "b", "c"]}
    assert events(data) == kept
    assert data.metrics["unknown"] == {"interactions": 3, "users": 1, "items": 2}
    assert data.metrics["n_interactions"] == 6
    assert (data.metrics["n_users"], data.metrics["n_items"]) == (2, 3)
    assert "3 rows of 1 users and 2 items that the tables lack are left out (data.unknown: drop)" in caplog.text


def test_kept_with_missing_features(run_data):
    data = run_data(SCHEMA, TABLES, unknown="keep")
    assert sorted(zip(*events(data).values(), strict=True)) == sorted(
        zip(EVENTS["user_id"], EVENTS["item_id"], strict=True)
    )
    items = pq.read_table(data.path / "items.parquet").to_pylist()
    missing = {"price": None, "tags": []}
    assert items[3:] == [{"item_id": "x", **missing}, {"item_id": "y", **missing}]
    assert pq.read_table(data.path / "users.parquet")["user_id"].to_pylist() == [1, 2, 9]
    assert data.metrics["unknown"] == {"interactions": 3, "users": 1, "items": 2}


def test_rows_are_counted_as_in_the_file_after_some_are_dropped(run_data):
    tables = {**TABLES, "interactions": {**EVENTS, "label": [0, 1, 0, 1, 0, 1, 0, 1, 7]}}
    with pytest.raises(DataError, match=r"interactions\.label, row 8: 7"):
        run_data(SCHEMA, tables, unknown="drop")


def test_nothing_is_left(run_data):
    tables = {**TABLES, "users": {"user_id": [77]}}
    with pytest.raises(DataError, match=r"the table is empty: all 9 rows are of unknown ids \(data\.unknown: drop\)"):
        run_data(SCHEMA, tables, unknown="drop")


@pytest.mark.parametrize("action", ["refuse", "drop", "keep"])
def test_ids_of_another_type_are_not_unknown_but_wrong(run_data, action):
    tables = {**TABLES, "users": {"user_id": ["1", "2", "9"]}}
    with pytest.raises(
        DataError, match=r"interactions\.user_id: wrong type int64, users\.user_id is string; data\.types"
    ):
        run_data(SCHEMA, tables, unknown=action)


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=4), st.sets(st.integers(0, 9)))
def test_counts_do_not_depend_on_chunks(chunks, known):
    ids = UnknownIds("drop", {"items": pa.array(sorted(known), pa.int64())})
    kept = []
    for start, chunk in enumerate(chunks):
        table = pa.table({"user_id": pa.array(chunk, pa.int64()), "item_id": pa.array(chunk, pa.int64())})
        kept += table.filter(ids.kept(table, Rows(start)))["item_id"].to_pylist()
    every = [item for chunk in chunks for item in chunk]
    assert kept == [item for item in every if item in known]
    lacking = {item for item in every if item not in known}
    assert ids.metrics() == {"unknown": {"interactions": len(every) - len(kept), "items": len(lacking)}}
    assert set(ids.ids["items"].to_pylist()) == lacking


def test_kept_ids_have_arrays(run_data, run_etl):
    items = {"item_id": ["a", "b", "c"], "price": [1.0, 2.0, 3.0], "tags": [["t"], [], ["u"]]}
    more = {"title": ["x", "y", "z"], "image": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]}
    schema = {**SCHEMA, "text": ["title"], "vectors": ["image"]}
    data = run_data(schema, {**TABLES, "items": {**items, **more}}, unknown="keep")
    etl = run_etl(data, schema)
    arrays = {name: np.load(etl.path / "items" / f"{name}.npy") for name in ("price", "title", "image")}
    price, title, image = (arrays[name][-2:] for name in ("price", "title", "image"))
    assert np.ptp(price) == 0, "the median"
    assert not title.any() and not image.any()
    assert arrays["image"][:-2].any()


@pytest.mark.parametrize(
    ("others", "of_guest", "noticed"), [(19, 20, True), (19, 19, False), (18, 40, False), (40, 42, True)]
)
def test_a_user_with_a_fifth_of_all_events_is_noticed(run_data, others, of_guest, noticed):
    users = [*([-1] * of_guest), *(user for user in range(others) for _ in range(4))]
    at = list(range(len(users)))
    events = {"user_id": users, "item_id": [n % 7 for n in at], "timestamp": [1_700_000_000 + 60 * n for n in at]}
    schema = {"sparse": ["user_id", "item_id"]}

    def guests(**more):
        data = run_data(schema, {"interactions": events, **more}, unknown="drop" if more else "refuse")
        return [line for line in data.metrics.get("notices", []) if line.startswith("interactions.user_id: -1 has ")]

    share = f"{of_guest / len(users):.0%} of all interactions"
    assert [share in line for line in guests()] == ([True] if noticed else [])
    assert guests(users={"user_id": list(range(others))}) == []  # as it says
