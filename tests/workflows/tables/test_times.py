"""Times as text and as numbers: units, culprits, digits below a microsecond, and what a run says of their range."""

import datetime as dt
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.errors import DataError
from cascade.workflows.sources.types import common_type, forced_reader_of
from cascade.workflows.tables.rows import Rows
from cascade.workflows.tables.time_range import TimeRange
from cascade.workflows.tables.times import numbers_as_times
from cascade.workflows.tables.timestamps import TimeReader

NOW = 1_700_000_000
STEPS = (1, 10**3, 10**6, 10**9)


def read(*chunks):
    reader, start, found = TimeReader(), 0, []
    for chunk in chunks:
        found.append(np.asarray(reader.read(pa.chunked_array([pa.array(chunk)]), Rows(start))))
        start += len(chunk)
    reader.range.check()
    return reader, np.concatenate(found).tolist()


@given(st.lists(st.sampled_from(STEPS), min_size=2, max_size=40), st.booleans(), st.integers(1, 39))
def test_numbers_of_two_units_are_refused_and_the_odd_one_is_named(steps, fractions, cut):
    values = [(NOW + at) * (float(step) if fractions else step) for at, step in enumerate(steps)]
    chunks = [chunk for chunk in (values[:cut], values[cut:]) if chunk]
    if len(set(steps)) == 1:
        read(*chunks)
        return
    fewest = min(set(steps), key=lambda step: (steps.count(step), steps.index(step)))
    with pytest.raises(DataError, match=rf"timestamp, row {steps.index(fewest)}: .*data.types: .timestamp: timestamp"):
        read(*chunks)


@pytest.mark.parametrize("odd", [9_999_999_999_999_999, NOW * 1000, -(10**12)])
def test_a_sentinel_of_another_size_is_named(odd):
    with pytest.raises(DataError, match=f"row 5: {odd} is a number of .*, and 9 others are of seconds .row 0: {NOW}"):
        read([odd if at == 5 else NOW + at for at in range(10)])


def test_zero_has_no_unit():
    assert read([0, NOW * 1000])[1] == [0, NOW * 1000]


@given(st.lists(st.tuples(st.integers(10**8, 9 * 10**9), st.sampled_from(STEPS)), min_size=1, max_size=20))
def test_a_forced_timestamp_reads_each_number_by_its_size(values):
    numbers = [seconds * step for seconds, step in values]
    expected = [seconds * 10**6 for seconds, _ in values]
    for array in (pa.array(numbers), pa.array([str(number) for number in numbers])):
        found = forced_reader_of("timestamp", ".")(array)
        assert found.cast(pa.int64()).to_pylist() == expected


def test_forced_numbers_by_hand():
    found = numbers_as_times(pa.array([1.5, None, float("nan"), 1.7e12 + 0.25]))
    assert found.cast(pa.int64()).to_pylist() == [1_500_000, None, None, 1_700_000_000_000_250]
    mixed = pa.array(["+1.5", None, "1700000000", "2023-11-14 22:13:20 UTC", "1700000000000"])
    found = forced_reader_of("timestamp", ".")(mixed).cast(pa.int64())
    assert found.to_pylist() == [1_500_000, None, *[NOW * 10**6] * 3]
    for odd in (pa.array([True]), pa.array([-(2**63)]), pa.array([1e300])):
        with pytest.raises(pa.ArrowInvalid):
            forced_reader_of("timestamp", ".")(odd)


TIME = pa.array([dt.datetime(2024, 1, 2, 10)], pa.timestamp("ns"))


@pytest.mark.parametrize("column", ["timestamp", "day"])
@pytest.mark.parametrize("other", [pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.list_(pa.int64())])
def test_what_a_message_of_two_types_advises_can_be_read(column, other):
    with pytest.raises(DataError, match="write it as one type in all files") as error:
        common_type("interactions", column, [(TIME.type, "a"), (other, "b")])
    text = str(error.value)
    for forced in ("int", "float", "text", "bool", "timestamp"):
        if "data.types" in text and forced in text.partition("data.types")[2].partition(";")[0].replace(
            f"{{{column}:", ""
        ):
            assert len(forced_reader_of(forced, ".")(TIME)) == 1
            forced_reader_of(forced, ".")(pa.array([], other))
    if pa.types.is_integer(other):
        assert f"set data.types: {{{column}: timestamp}} (or int, float" in text


def test_a_forced_number_of_a_time_is_its_seconds():
    seconds = 1_704_189_600
    dates = pa.array([dt.date(2024, 1, 2)])
    assert forced_reader_of("int", ".")(TIME).to_pylist() == [seconds]
    assert forced_reader_of("int", ".")(dates).to_pylist() == [seconds - 36000]
    half = pa.array([seconds * 1000 + 500], pa.timestamp("ms", "UTC"))
    assert forced_reader_of("float", ".")(half).to_pylist() == [seconds + 0.5]
    with pytest.raises(pa.ArrowInvalid):
        forced_reader_of("int", ".")(half)


@given(st.lists(st.integers(0, 999_999_999), min_size=1, max_size=20))
def test_text_keeps_nine_digits(parts):
    reader, found = read([f"2023-11-14T22:13:20.{part:09d}Z" for part in parts])
    assert found == [NOW * 10**9 + part for part in parts]
    assert reader.scale(np.array(found)).tolist() == (
        [NOW * 10**6 + part // 1000 for part in parts] if any(parts) else [NOW] * len(parts)
    )


@pytest.mark.parametrize(
    "text",
    ["2023-11-14 22:13:20 UTC", "2023-11-14T22:13:20.000 GMT", "2023-11-14 23:13:20 +01:00", " 2023-11-14 22:13:20Z"],
)
def test_zones_as_databases_write_them(text):
    assert read([text])[1] == [NOW * 10**9]
    assert forced_reader_of("timestamp", ".")(pa.array([text])).cast(pa.int64()).to_pylist() == [NOW * 10**6]


@pytest.mark.parametrize("junk", ["1,700,000,060", "1700000060\0", "", "2024-01-02"])
@pytest.mark.parametrize("chunks", [1, 3])
def test_the_value_that_is_no_number_is_named(junk, chunks):
    values = [str(NOW + at) for at in range(9)]
    values[7] = junk
    with pytest.raises(DataError, match="interactions.timestamp, row 7: .* is no number, as the other timestamps are"):
        read(*np.array_split(np.array(values, object), chunks))


def test_numbers_that_are_text():
    assert read(["1700000000", "+5"])[1] == [NOW, 5]
    assert read(["1700000000.5", "7"], ["8"])[1] == [NOW + 0.5, 7.0, 8.0]
    with pytest.raises(DataError, match="row 1: '7.5' has a fraction.*timestamp: float"):
        read(["7"], ["7.5"])


def test_nanoseconds_and_far_years_do_not_go_together():
    with pytest.raises(DataError, match="row 1: .*nanoseconds go with the years"):
        read(["9999-12-31", "2024-01-02T10:00:00.123456789"])
    with pytest.raises(DataError, match="row 1: .*nanoseconds go with the years"):
        read(["2024-01-02T10:00:00"], ["9999-12-31"])


@pytest.mark.parametrize(
    ("times", "per_second", "said"),
    [
        ([NOW, NOW + 5], None, None),
        ([0, 1, 2], None, None),
        ([20240101, 20240116], None, "20240101 to 20240116 look like dates .* as seconds since 1970"),
        ([20240101120000], None, "look like dates .* as milliseconds since 1970"),
        ([20240101, 20240199], None, None),
        ([NOW, 0], None, "are as seconds since 1970 from 1970-01-01 .row 1. to 2023-11-14 .row 0."),
        ([NOW * 1000, 5 * NOW * 1000], None, "from 2023-11-14 .row 0. to 2239-05-.* .row 1."),
        ([NOW * 1000, 253_402_300_799_000], 1000, "the times are from 2023-11-14 .* to 9999-12-31"),
    ],
)
def test_times_that_are_hardly_meant_are_said(times, per_second, said):
    found = TimeRange()
    for start, time in enumerate(times):
        found.see(np.array([time]), Rows(start), per_second)
    notices = found.notices()
    assert len(notices) == (said is not None)
    if said:
        assert re.search(said, notices[0]), notices
