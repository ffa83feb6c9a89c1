"""The offline tables: histories computed by hand, and random chunks compared with a plain loop."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade.core.errors import DataError
from cascade.testing.feature_data import write_table
from cascade.workflows.features import tables as feature_tables
from cascade.workflows.features.tables import write_entities, write_history

KINDS = {"user_id": "int", "item_id": "int", "timestamp": "int"}
Row = tuple[Any, ...]
"""user, item, timestamp, split, and optionally whether it is a positive."""


def interactions(folder: Path, rows: list[Row], parts: int = 1) -> list[Path]:
    """Write ``rows`` to ``parts`` files; a row is a positive by default."""
    size = -(-len(rows) // parts) or 1
    rows = [(*row, True)[:5] for row in rows]
    for number in range(parts):
        part = rows[number * size :][:size]
        columns = {name: [row[at] for row in part] for at, name in enumerate([*KINDS, "split", "positive"])}
        write_table(folder / f"part-{number}", columns, KINDS)
    return sorted(folder.glob("part-*.parquet"))


def written(
    parts: list[Path], out: Path, seen: int, explicit: bool = True, test_part: bool = False
) -> dict[int, tuple[list[int], list[int]]]:
    """user -> history_ids, rejected_ids."""
    write_history(parts, out, KINDS, seen, 1, explicit, test_part=test_part)
    return {row["user_id"]: (row["history_ids"], row["rejected_ids"]) for row in pq.read_table(out).to_pylist()}


def test_history_is_before_the_test_part_most_recent_first(tmp_path: Path) -> None:
    rows = [(1, 10, 5, "train"), (1, 11, 6, "train"), (1, 12, 7, "valid"), (1, 13, 8, "test")]
    rows += [(2, 20, 1, "train"), (3, 30, 1, "test")]
    rows += [(1, 14, 7, "valid", False)]
    parts = interactions(tmp_path, sorted(rows))
    options: dict[str, Any] = {"kinds": KINDS, "seen": 2, "unit": 1_000_000, "explicit": True}
    counts = write_history(parts, tmp_path / "out.parquet", **options, test_part=False)
    table = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert counts == {"users": 2, "history_ids": 3, "rejected_ids": 1}
    last = [datetime(1970, 1, 1, 0, 0, second, tzinfo=UTC) for second in (7, 1)]
    assert table == [
        {"user_id": 1, "history_ids": [12, 11], "rejected_ids": [14], "event_timestamp": last[0]},
        {"user_id": 2, "history_ids": [20], "rejected_ids": [], "event_timestamp": last[1]},
    ]
    counts = write_history(parts, tmp_path / "all.parquet", **options)
    assert counts == {"users": 3, "history_ids": 4, "rejected_ids": 1}
    table = pq.read_table(tmp_path / "all.parquet", columns=["history_ids"]).to_pylist()
    assert [row["history_ids"] for row in table] == [[13, 12], [20], [30]]


def test_times_are_those_of_the_history_in_seconds(tmp_path: Path) -> None:
    rows = [(1, 10, 5000, "train"), (1, 11, 6000, "train", False), (1, 12, 7999, "valid"), (1, 13, 8000, "test")]
    rows += [(2, 20, 1000, "train", False)]
    out = tmp_path / "out.parquet"
    write_history(
        interactions(tmp_path, rows), out, KINDS, seen=5, unit=1000, explicit=True, times=True, test_part=False
    )
    found = [(row["history_ids"], row["history_times"]) for row in pq.read_table(out).to_pylist()]
    assert found == [([12, 10], [7, 5]), ([], [])]


RATINGS = [
    *[(1, 10, 1, "train", True), (1, 11, 2, "train", False), (1, 12, 3, "train", False), (1, 10, 4, "train", True)],
    *[(1, 12, 5, "train", True), (1, 13, 6, "valid", False), (1, 11, 7, "valid", False), (1, 14, 8, "test", True)],
    *[(1, 15, 9, "test", False), (2, 10, 1, "train", False), (2, 11, 2, "train", False), (2, 12, 3, "train", False)],
]
"""User 1 likes 10 twice, dislikes 12 and then likes it, dislikes 11 twice and 13; user 2 likes nothing."""


def test_ratings_divide_into_history_and_rejected(tmp_path: Path) -> None:
    parts = interactions(tmp_path, RATINGS)
    assert written(parts, tmp_path / "a", seen=9) == {1: ([12, 10, 10], [11, 13]), 2: ([], [12, 11, 10])}
    assert written(parts, tmp_path / "b", seen=2) == {1: ([12, 10], [11, 13]), 2: ([], [12, 11])}


def test_nothing_is_rejected_in_an_impression_log(tmp_path: Path) -> None:
    parts = interactions(tmp_path, RATINGS)
    assert written(parts, tmp_path / "out", 9, explicit=False) == {1: ([12, 10, 10], []), 2: ([], [])}


def test_an_item_that_fell_out_of_the_history_may_be_rejected(tmp_path: Path) -> None:
    """An item that was liked once and rejected later counts as liked while the history contains it."""
    rows = [(1, 10, 1, "train", True), (1, 11, 2, "train", True), (1, 10, 3, "train", False)]
    parts = interactions(tmp_path, rows)
    assert written(parts, tmp_path / "a", seen=2) == {1: ([11, 10], [])}
    assert written(parts, tmp_path / "b", seen=1) == {1: ([11], [10])}


EVENTS = st.tuples(st.integers(0, 4), st.integers(0, 9), st.sampled_from(["train", "valid", "test"]), st.booleans())


@given(
    st.lists(EVENTS, max_size=30),
    st.integers(1, 4),
    st.integers(1, 7),
    st.integers(1, 3),
    st.booleans(),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_history_does_not_depend_on_chunks_and_parts(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[Row], seen: int, chunk: int, parts: int, test_part: bool
) -> None:
    folder = tmp_path_factory.mktemp("history")
    rows = [(row[0], row[1], time, *row[2:]) for time, row in enumerate(sorted(drawn, key=lambda row: row[0]))]
    expected = {}
    counted = [row for row in rows if test_part or row[3] != "test"]
    for user in {row[0] for row in counted}:
        newest = [row for row in counted[::-1] if row[0] == user]
        history = [row[1] for row in newest if row[4]][:seen]
        others = dict.fromkeys(row[1] for row in newest if not row[4] and row[1] not in history)
        expected[user] = (history, list(others)[:seen])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_tables, "CHUNK", chunk)
        found = written(interactions(folder, rows, parts), folder / "out.parquet", seen, test_part=test_part)
        assert found == expected


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_scattered_rows_of_a_user_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(feature_tables, "CHUNK", chunk)
    rows = [(1, 10, 1, "train"), (2, 20, 2, "train"), (1, 11, 3, "train")]
    with pytest.raises(DataError, match="sorted by user_id"):
        write_history(interactions(tmp_path, rows), tmp_path / "out.parquet", KINDS, 5, 1, explicit=True)


def test_entities_keep_nulls_and_drop_nulls_inside_lists(tmp_path: Path) -> None:
    columns = {"item_id": ["a", "b"], "tags": [["x", None], None], "size": [1.0, float("nan")], "note": ["ignored", ""]}
    pq.write_table(pa.table(columns), tmp_path / "items.parquet")
    kinds = {"item_id": "string", "tags": "list_string", "size": "int"}
    assert write_entities(tmp_path / "items.parquet", tmp_path / "out.parquet", "item_id", kinds, 2_000_000) == 2
    time = datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [
        {"item_id": "a", "tags": ["x"], "size": 1, "event_timestamp": time},
        {"item_id": "b", "tags": None, "size": None, "event_timestamp": time},
    ]
