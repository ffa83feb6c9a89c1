"""The unit of timestamps and their range."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.core.errors import DataError
from cascade.workflows.tables.timestamps import TimeReader, time_range, time_unit


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


DAYS = np.datetime64("2024-01-31T12:00:00") + 7 * np.arange(5) * np.timedelta64(86_400, "s")
SINCE_1970 = (DAYS - np.datetime64("1970-01-01")) / np.timedelta64(86_400, "s")


@pytest.mark.parametrize(
    ("numbers", "name"),
    [
        (25_569 + SINCE_1970, "days since 1900, as Excel has them"),
        (2_440_587.5 + SINCE_1970 + 0.25, "Julian days"),
        (((719_162 + SINCE_1970) * 864 * 10**9).astype(np.int64), "ticks of .NET"),
        (20_240_131 + np.arange(5), None),  # 20240132 is no date, and whole numbers may be a plain order
        (20_240_101 + np.arange(5), "dates written as numbers"),
        (np.floor(25_569 + SINCE_1970), None),
        (SINCE_1970 * 86_400, None),
        (SINCE_1970 * 86_400 * 10**9, None),
        (np.array([19_999.5, 45_000.5]), None),
    ],
)
def test_what_other_calendars_count_is_noticed(numbers, name) -> None:
    reader = TimeReader()
    for chunk in np.array_split(numbers, 2):
        reader.read(pa.chunked_array([chunk]))
    found = reader.range.notices()
    assert len(found) == (name is not None)
    assert all(f"look like {name}" in line and "write 2024-01-31" in line for line in found)


def test_seconds_that_a_short_float_rounds_are_refused() -> None:
    times = pa.chunked_array([pa.array([5.0, 1_700_000_000.0], pa.float32())])
    with pytest.raises(
        DataError, match=r"interactions.timestamp, row 1: 1700000000 is too large .* of 32 bits.*integers"
    ):
        TimeReader().read(times)
    assert TimeReader().read(times.cast(pa.float64())).to_pylist() == [5.0, 1_700_000_000.0]
