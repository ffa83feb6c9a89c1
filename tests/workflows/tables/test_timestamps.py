"""The unit of timestamps and their range."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.workflows.tables.timestamps import time_range, time_unit


@pytest.mark.parametrize(
    ("largest", "microseconds"),
    [(3, 1_000_000), (874_724_710, 1_000_000), (1_650_812_741_436, 1000), (1_650_812_741_436_000, 1)],
)
def test_unit_of_timestamps(largest: int, microseconds: int) -> None:
    assert time_unit(largest) == microseconds


def test_time_range_over_all_parts(tmp_path: Path) -> None:
    parts = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for part, times in zip(parts, ([5, 9], [-3]), strict=True):
        pq.write_table(pa.table({"timestamp": times}), part)
    assert time_range(parts) == (-3, 9)
