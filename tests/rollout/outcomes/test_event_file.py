"""Every kind of file is read alike, and every kind of bad one is refused with file, field and row."""

import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from outcome_events import event, write

from cascade.core.errors import DataError
from cascade.rollout.outcomes import event_file
from cascade.rollout.outcomes.event_file import read_events

TIME, TIME_US = "2026-11-01T08:00:00Z", 1793520000 * 10**6


def read(file: Path) -> list[dict[str, Any]]:
    return [row for table, _ in read_events(file) for row in table.to_pylist()]


def rows(file: Path) -> list[tuple[Any, ...]]:
    return [tuple(None if value != value else value for value in row.values()) for row in read(file)]


EVENTS = [
    event("a", TIME),
    event("7", "2026-11-01T09:00:00.5+01:00", "conversion", value=9.5, event_id="x"),
    event("ü", "2026-11-01 08:00:01", "impression"),
]
EXPECTED = [
    ("a", TIME_US, "click", None, None),
    ("7", TIME_US + 500_000, "conversion", 9.5, "x"),
    ("ü", TIME_US + 10**6, "impression", None, None),
]


def test_all_kinds_of_files_are_read_alike(tmp_path) -> None:
    kinds = dict.fromkeys(("user_id", "time", "event", "event_id"), pa.string()) | {"value": pa.float64()}
    table = pa.Table.from_pylist(EVENTS, pa.schema(list(kinds.items())))
    pq.write_table(table, tmp_path / "e.parquet")
    pyarrow.csv.write_csv(table, tmp_path / "e.csv")
    assert rows(tmp_path / "e.parquet") == EXPECTED
    assert rows(tmp_path / "e.csv") == EXPECTED
    assert rows(write(tmp_path / "e.jsonl", EVENTS)) == EXPECTED


def test_ids_and_times_in_other_types(tmp_path) -> None:
    at = datetime(2026, 11, 1, 8, tzinfo=UTC)
    for times in (
        pa.array([at, at], pa.timestamp("ns", "UTC")),
        pa.array([at, at], pa.timestamp("s")),
        pa.array([TIME_US // 10**6] * 2),
        pa.array([TIME_US / 1e6] * 2),
        pa.array([TIME_US // 10**3] * 2),
        pa.array([TIME, TIME]).dictionary_encode(),
    ):
        names = pa.array(["click", "click"]).dictionary_encode()
        pq.write_table(pa.table({"user_id": pa.array([5, -6]), "time": times, "event": names}), tmp_path / "e.parquet")
        assert rows(tmp_path / "e.parquet") == [
            ("5", TIME_US, "click", None, None),
            ("-6", TIME_US, "click", None, None),
        ]
    assert rows(write(tmp_path / "e.jsonl", [event(5, TIME_US // 10**6), event("6", str(TIME_US // 10**6))])) == [
        ("5", TIME_US, "click", None, None),
        ("6", TIME_US, "click", None, None),
    ]


BAD: dict[str, tuple[Any, str]] = {
    "no user": (event(None, TIME), "user_id, row 2: expected an id, got nothing; leave out"),
    "empty user": (event("", TIME), "user_id, row 2: expected an id, got ''"),
    "no time": (event("a", None), "time, row 2: expected a time, got nothing; write ISO 8601"),
    "no such time": (event("a", "yesterday"), "time, row 2: expected a time, got 'yesterday'"),
    "a day too many": (event("a", "2026-02-30T00:00:00Z"), "time, row 2: expected a time, got '2026-02-30T00:00:00Z'"),
    "the future": (event("a", time.time() + 1e8), "time, row 2: expected a time up to now, .*; look at the zone"),
    "no event": (event("a", TIME, None), "event, row 2: expected a name of 1 to 100 characters, got nothing"),  # type: ignore[arg-type]
    "a long event": (event("a", TIME, "x" * 101), "event, row 2: expected a name of 1 to 100 characters"),
    "revenue": (event("a", TIME, "revenue"), "event, row 2: expected another name, got 'revenue'"),
    "text as value": (event("a", TIME, value="9,50"), "value, row 2: expected a number, got '9,50'; write an amount"),
    "huge value": (event("a", TIME, value=1e200), "value, row 2: expected a number from -1e\\+12 to 1e\\+12, got"),
    "infinite value": (event("a", TIME, value=math.inf), "value, row 2: expected a (finite )?number, got 'Infinity'"),
    "empty event_id": (event("a", TIME, event_id=""), "event_id, row 2: expected an id, got ''"),
}


@pytest.mark.parametrize("value", [1.0, True, [1], {"id": 1}])
@pytest.mark.parametrize("column", ["user_id", "event_id"])
def test_an_id_is_an_integer_or_text(column: str, value: Any, tmp_path) -> None:
    """A float would be the text 1.0, and so another user than 1."""
    row = {**event("a", TIME, event_id="x"), column: value}
    with pytest.raises(DataError, match=f"{column}: expected integers or text, got"):
        read(write(tmp_path / "e.jsonl", [row]))


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_row_is_named(bad: str, tmp_path) -> None:
    row, message = BAD[bad]
    with pytest.raises(DataError, match=f"e.jsonl, {message}"):
        read(write(tmp_path / "e.jsonl", [event("a", TIME), row, event("a", TIME)]))


def test_rows_are_counted_over_batches(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(event_file, "BATCH_ROWS", 2)
    with pytest.raises(DataError, match="time, row 6"):
        read(write(tmp_path / "e.jsonl", [*[event("a", TIME)] * 5, event("a", "x")]))
    file = write(tmp_path / "e.jsonl", [event("a", TIME)] * 5)
    assert [round(share, 2) for _, share in read_events(file)] == [0.4, 0.8, 1.0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.txt", "", "expected a file that ends in .parquet, .csv, .jsonl"),
        ("e.parquet", "no parquet", "expected a whole Parquet file"),
        ("e.csv", "", "expected"),
        ("e.csv", "user_id,time\na,1\n", "expected the column event, got time, user_id"),
        ("e.csv", "user_id,time,event\n", "expected at least one event, got none"),
        ("e.csv", "user_id,time,event\na,1\n", "expected CSV"),
        ("e.csv", "user_id,time,event\n,5,click\n", "user_id, row 1: expected an id, got nothing"),
        ("e.csv", "user_id,time,event\na,5,click\nb,x5,click\n", "time, row 2: expected a time, got 'x5'"),
        ("e.csv", "user_id,time,event,value\na,5,click,1.5x\n", "value, row 1: expected a number, got '1.5x'"),
        (
            "e.csv",
            "user_id,time,event\n1.0,5,click\n2.0,6,click\n",
            "user_id: expected ids .* such as 1.0; write integers",
        ),
        ("e.jsonl", "", "expected at least one event, got none"),
        ("e.jsonl", "{\n", "line 1: expected an object of JSON"),
        ("e.jsonl", "[1]\n", "line 1: expected an object of JSON, got"),
        ("e.jsonl", "[" * 100_000, "line 1: expected an object of JSON"),
        (
            "e.jsonl",
            '{"user_id": "\\ud800", "time": 5, "event": "click"}\n',
            r"expected text of whole characters, got '\\ud800'",
        ),
        ("e.csv", "user_id,time,event,time\na,5,click,6\n", "expected the column time once, got it 2 times"),
        ("e.jsonl", '{"user_id": 1}\n', "expected the column time, got user_id"),
    ],
)
def test_a_bad_file_is_refused(name: str, content: str, message: str, tmp_path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / name)


def test_ids_that_look_like_numbers_beside_others_are_text(tmp_path) -> None:
    (tmp_path / "e.csv").write_text("user_id,time,event,event_id\n1.0,5,click,\nv2,6,click,\n")
    assert [row["user_id"] for row in read(tmp_path / "e.csv")] == ["1.0", "v2"]


def test_a_missing_file_and_a_wrong_type_of_ids(tmp_path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "e.csv")
    pq.write_table(pa.table({"user_id": [1.0], "time": [5], "event": ["click"]}), tmp_path / "e.parquet")
    with pytest.raises(DataError, match="user_id: expected integers or text, got double"):
        read(tmp_path / "e.parquet")
    pq.write_table(pa.table({"user_id": [1], "time": [True], "event": ["click"]}), tmp_path / "e.parquet")
    with pytest.raises(DataError, match="e.parquet, time"):
        read(tmp_path / "e.parquet")
    pq.write_table(pa.table({"user_id": [1], "time": [5], "event": [3]}), tmp_path / "e.parquet")
    with pytest.raises(DataError, match="event: expected text such as impression or click, got int64"):
        read(tmp_path / "e.parquet")
