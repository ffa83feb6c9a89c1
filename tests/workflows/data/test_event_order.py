"""The order of a user's events: by time below a second, then by ``data.columns.order``, then drawn."""

import datetime as dt
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.core.errors import ConfigError, DataError

SCHEMA = {"sparse": ["user_id", "item_id"]}
START = dt.datetime(2024, 1, 2, 10)
ITEMS = [3, 1, 4, 5, 2]
"""In the order of the rows."""


def stored(run_data, times, **more):
    data = {"leak_check": {"enabled": False}, **more.pop("data", {})}
    events = {"user_id": [1] * 5, "item_id": ITEMS, "timestamp": times, **more}
    artifact = run_data(SCHEMA, {"interactions": events}, **data)
    table = pq.read_table(artifact.path / "interactions")
    return table, json.loads((artifact.path / "tables.json").read_text())


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        (pa.array([START + dt.timedelta(microseconds=n) for n in (3, 1, 4, 5, 2)], pa.timestamp("us")), 1),
        (
            pa.array(
                [START + dt.timedelta(milliseconds=n) for n in (3, 1, 4, 5, 2)], pa.timestamp("ms", "Asia/Kolkata")
            ),
            1,
        ),
        (pa.array([1_700_000_000_000_000_000 + n for n in (3, 1, 4, 5, 2)], pa.timestamp("ns")), 1),
        ([1_700_000_000_000_000_000 + n for n in (3, 1, 4, 5, 2)], 1),
        ([1_700_000_000_000 + n for n in (3, 1, 4, 5, 2)], 1000),
        ([1_700_000_000 + n / 100 for n in (3, 1, 4, 5, 2)], 1),
        ([f"2024-01-02T10:00:00.{n}Z" for n in (3, 1, 4, 5, 2)], 1),
        ([f"2024-01-02 10:00:00.12345600{n} UTC" for n in (3, 1, 4, 5, 2)], 1),
        ([dt.date(9990 + n, 1, 2) for n in (3, 1, 4, 5, 2)], 1_000_000),
    ],
    ids=["us", "ms with zone", "ns", "ns numbers", "ms numbers", "float seconds", "text", "ns text", "year 999x"],
)
def test_times_below_a_second_keep_their_order(run_data, times, unit):
    table, facts = stored(run_data, times)
    assert table["item_id"].to_pylist() == [1, 2, 3, 4, 5]
    assert facts["time_unit"] == unit
    assert facts["columns"]["interactions"]["timestamp"] == "int"


@pytest.mark.parametrize("places", [[3, 1, 4, 5, 2], [3.5, 1.5, 4.5, 5.5, 2.5], ["c", "a", "d", "e", "b"]])
@pytest.mark.parametrize("columns", [{"order": "place"}, {"interactions": {"order": "place"}}])
def test_equal_timestamps_are_sorted_by_the_column_order(run_data, places, columns):
    table, facts = stored(run_data, [7, 7, 7, 9, 7], place=places, data={"columns": columns})
    assert table["item_id"].to_pylist() == [1, 2, 3, 4, 5]
    assert "order" not in table.column_names and "order" not in facts["columns"]["interactions"]


@pytest.mark.parametrize(
    ("places", "notices"),
    [
        ([" 10", "-1", "+11", "12", "9"], 0),
        (["x10", "x05", "x11", "x12", "x09"], 0),  # as long as each other
        (["b10", "a", "b11", "b12", "aa"], 1),
        (["1e1", "10.5", "1e2", "2", "10.75"], 1),
    ],
)
def test_text_of_whole_numbers_is_sorted_as_numbers(run_data, places, notices):
    events = {"user_id": [1] * 5, "item_id": ITEMS, "timestamp": [7] * 5, "order": places}
    data = run_data(SCHEMA, {"interactions": events}, leak_check={"enabled": False}, columns={"order": "order"})
    assert pq.read_table(data.path / "interactions")["item_id"].to_pylist() == [1, 2, 3, 4, 5]
    found = [line for line in data.metrics.get("notices", []) if line.startswith("interactions.order:")]
    assert len(found) == notices
    assert all("sorted as text, in which 10 comes before 9" in line and repr(places[0]) in line for line in found)


def test_without_it_equal_timestamps_are_in_a_drawn_order(run_data):
    table, _ = stored(run_data, [7, 6, 7, 9, 7])
    found = table["item_id"].to_pylist()
    assert (found[0], sorted(found[1:4]), found[4]) == (1, [2, 3, 4], 5)


def test_a_missing_place_is_named(run_data):
    with pytest.raises(DataError, match="interactions.order, row 2: missing; fill it"):
        stored(run_data, [7] * 5, place=[1, 2, None, 3, 4], data={"columns": {"order": "place"}})


def test_an_order_needs_timestamps(run_data):
    tables = {"interactions": {"user_id": [1] * 5, "item_id": ITEMS, "place": ITEMS}}
    with pytest.raises(ConfigError, match="data.columns.order: .*name the column .* data.columns.timestamp"):
        run_data(SCHEMA, tables, columns={"order": "place"})


def test_expressions_read_seconds_of_dates_and_times(run_data):
    times = pa.array([START + dt.timedelta(seconds=n, milliseconds=n) for n in range(5)], pa.timestamp("ns"))
    second = (START - dt.datetime(1970, 1, 1)) // dt.timedelta(seconds=1)
    table, _ = stored(run_data, times, data={"positive": f"timestamp >= {second + 3}"})
    assert table["positive"].to_pylist() == [False, False, False, True, True]


def test_a_reserved_column_is_refused_before_tables_are_read(run_data):
    with pytest.raises(ConfigError, match="'order' cannot be the name of a feature.*{order_value: order}"):
        run_data({"sparse": ["user_id", "item_id", "order"]}, source="tables", path="/nowhere")


@pytest.mark.parametrize(("kind", "first"), [(pa.float32(), 2**24), (pa.float16(), 2**11)])
def test_an_order_that_a_short_float_rounds_is_refused(run_data, kind, first):
    order = pa.array([0, 1, 2, 3, first], pa.int64()).cast(pa.float32()).cast(kind)
    with pytest.raises(DataError, match=rf"interactions\.order, row 4: {first} is too large to be exact as a float"):
        stored(run_data, [START] * 5, place=order, data={"columns": {"order": "place"}})
