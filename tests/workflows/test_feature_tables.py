"""The offline tables: hand-computed histories, and any chunking against a plain loop."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade.core.errors import DataError
from cascade.testing.feature_data import write_table
from cascade.workflows import feature_tables
from cascade.workflows.feature_tables import time_range, time_unit, write_entities, write_history

KINDS = {"user_id": "int", "item_id": "int", "timestamp": "int"}


def interactions(folder: Path, rows: list[tuple[int, int, int, str]], parts: int = 1) -> list[Path]:
    """Write rows (user, item, timestamp, split) as ``parts`` files."""
    size = -(-len(rows) // parts) or 1
    for number in range(parts):
        part = rows[number * size :][:size]
        columns = {name: [row[at] for row in part] for at, name in enumerate([*KINDS, "split"])}
        write_table(folder / f"part-{number}", columns, KINDS)
    return sorted(folder.glob("part-*.parquet"))


def histories(file: Path) -> dict[int, list[int]]:
    rows = pq.read_table(file).to_pylist()
    return {row["user_id"]: row["history_ids"] for row in rows}


def test_history_is_what_came_before_the_test_part_most_recent_first(tmp_path: Path) -> None:
    rows = [(1, 10, 5, "train"), (1, 11, 6, "train"), (1, 12, 7, "valid"), (1, 13, 8, "test")]
    rows += [(2, 20, 1, "train"), (3, 30, 1, "test")]
    written = write_history(interactions(tmp_path, rows), tmp_path / "out.parquet", KINDS, seen=2, unit=1_000_000)
    table = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert written == {"users": 2, "ids": 3}
    assert table == [
        {"user_id": 1, "history_ids": [12, 11], "event_timestamp": datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC)},
        {"user_id": 2, "history_ids": [20], "event_timestamp": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)},
    ]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.sampled_from(["train", "valid", "test"])), max_size=30),
    st.integers(1, 4),
    st.integers(1, 7),
    st.integers(1, 3),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_history_does_not_depend_on_chunks_and_parts(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, int, str]], seen: int, chunk: int, parts: int
) -> None:
    folder = tmp_path_factory.mktemp("history")
    rows = [(user, item, time, split) for time, (user, item, split) in enumerate(sorted(drawn, key=lambda r: r[0]))]
    expected: dict[int, list[int]] = {}
    for user, item, _, split in rows:
        if split != "test":
            expected[user] = [item, *expected.get(user, [])][:seen]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_tables, "CHUNK", chunk)
        write_history(interactions(folder, rows, parts), folder / "out.parquet", KINDS, seen, 1)
    assert histories(folder / "out.parquet") == expected


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_scattered_rows_of_a_user_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(feature_tables, "CHUNK", chunk)
    rows = [(1, 10, 1, "train"), (2, 20, 2, "train"), (1, 11, 3, "train")]
    with pytest.raises(DataError, match="sorted by user_id"):
        write_history(interactions(tmp_path, rows), tmp_path / "out.parquet", KINDS, 5, 1)


@pytest.mark.parametrize(
    ("largest", "microseconds"),
    [(3, 1_000_000), (874_724_710, 1_000_000), (1_650_812_741_436, 1000), (1_650_812_741_436_000, 1)],
)
def test_unit_of_timestamps(largest: int, microseconds: int) -> None:
    assert time_unit(largest) == microseconds


def test_time_range_over_all_parts(tmp_path: Path) -> None:
    rows = [(1, 10, 5, "train"), (1, 11, 9, "test"), (2, 20, -3, "train")]
    assert time_range(interactions(tmp_path, rows, parts=2)) == (-3, 9)


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
