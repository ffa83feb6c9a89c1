"""Every value that a table can hold has an exact canonical value, or is refused with the way out."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from column_types import EPOCH, NINES, SCALARS, SMALLEST, seconds
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.core.errors import DataError
from cascade.workflows.tables.canonical import canonical
from cascade.workflows.tables.rows import Rows
from cascade.workflows.tables.timestamps import TimeReader


@st.composite
def columns(draw, names=tuple(SCALARS), lists=True):
    """A column of a type, and what it must become; some of its values are missing."""
    kind, values, becomes = SCALARS[draw(st.sampled_from(names))]
    cells = draw(st.lists(st.none() | values, min_size=1, max_size=8))
    if lists and draw(st.booleans()) and not pa.types.is_dictionary(kind) and not pa.types.is_string_view(kind):
        if pa.types.is_temporal(kind) or pa.types.is_boolean(kind):
            kind, values, becomes = SCALARS["int64"]
        cells = draw(st.lists(st.none() | st.lists(st.none() | values, max_size=3), min_size=1, max_size=5))
        expected = [[becomes(v) for v in row or [] if v is not None] for row in cells]
        return pa.array(cells, pa.list_(kind)), expected
    if kind == pa.string_view() or pa.types.is_dictionary(kind):
        inner = pa.string() if kind == pa.string_view() else kind.value_type
        array = pa.array(cells, inner)
        array = pa.array(cells, kind) if kind == pa.string_view() else array.dictionary_encode()
    else:
        array = pa.array(cells, kind)
    return array, [None if v is None else becomes(v) for v in cells]


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(columns(), st.integers(1, 4))
def test_canonical_values_are_exact(column, chunks):
    array, expected = column
    size = -(-len(array) // chunks)
    parts = [array.slice(at, size) for at in range(0, len(array), size)]
    table = pa.table({"x": pa.chunked_array(parts, array.type)})
    found = canonical(table, "items")["x"].to_pylist()
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (pa.array([1, 2**64 - 1], pa.uint64()), "18446744073709551615"),
        (pa.array([1, SMALLEST], pa.int64()), "-9223372036854775808"),
        (pa.array([Decimal(1), Decimal(10) ** 30], pa.decimal128(38, 0)), "1000000000000000000000000000000"),
        (pa.array([Decimal(1), Decimal(-(10**22))], pa.decimal256(50, 0)), "-10000000000000000000000"),
    ],
    ids=str,
)
def test_whole_numbers_beyond_64_bits_are_refused_with_the_way_out(values, shown):
    message = f"items.sku, row 6: {shown} is out of range.*data.types: {{sku: text}}"
    with pytest.raises(DataError, match=message):
        canonical(pa.table({"sku": values}), "items", Rows(5))
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2]), values)
    with pytest.raises(DataError, match=f"items.sku, row 6: {shown} is out of range.*write the entries as text"):
        canonical(pa.table({"sku": lists}), "items", Rows(5))


def test_a_feature_between_two_seconds_is_refused_with_the_way_out():
    values = pa.array([EPOCH, EPOCH + dt.timedelta(milliseconds=1)], pa.timestamp("ms"))
    with pytest.raises(DataError, match=r"items.seen, row 1: .*no whole second.*data.types: {seen: text}"):
        canonical(pa.table({"seen": values}), "items")


def read(values: pa.Array):
    """What the data artifact holds of the column ``timestamp``, and the microseconds of one step."""
    reader = TimeReader()
    numbers = reader.read(pa.chunked_array([values]))
    return reader.scale(np.asarray(numbers)).tolist(), reader.scale.unit


exact = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2250, 1, 1))
"""To the microsecond."""


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(exact, min_size=1, max_size=6), st.sampled_from(["us", "ns", "text", "zone", "ns numbers", "T"]))
def test_times_keep_their_microseconds(times, form):
    micros = [(time - EPOCH) // dt.timedelta(microseconds=1) for time in times]
    zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
    match form:
        case "us" | "ns":
            values = pa.array(times, pa.timestamp(form))
        case "text":
            values = pa.array([str(time) for time in times])
        case "T":
            values = pa.array([time.isoformat() + "Z" for time in times], pa.large_string())
        case "zone":
            values = pa.array([time.replace(tzinfo=dt.UTC).astimezone(zone).isoformat() for time in times])
        case _:
            values = pa.array([micro * 1000 for micro in micros])
            if max(map(abs, micros)) < 10**14:
                return  # nanoseconds of before 1973 are taken for something else
    found, unit = read(values)
    assert [value * unit for value in found] == micros


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(10**9, 4 * 10**9 * 10**6), min_size=1, max_size=6).filter(lambda m: max(m) > 10**15))
def test_seconds_with_a_fraction_keep_their_microseconds(micros):
    found, unit = read(pa.array([micro / 10**6 for micro in micros]))
    assert [value * unit for value in found] == micros


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([NINES], pa.timestamp("s")), ([seconds(NINES)], 10**6)),
        (pa.array([NINES], pa.timestamp("us")), ([seconds(NINES)], 10**6)),
        (pa.array(["9999-12-31T23:59:59", "2024-01-02"]), ([seconds(NINES), 1704153600], 10**6)),
        (pa.array([dt.date(9999, 12, 31)], pa.date32()), ([253402214400], 10**6)),
        (pa.array([1700000000 * 10**9 + 1, 1700000000 * 10**9]), ([1700000000 * 10**6] * 2, 1)),
        (pa.array(["2024-01-02T10:00:00.123456789Z"]), ([1704189600123456], 1)),
        (pa.array(["2024-01-02 10:00:00-05"]), ([1704207600], 10**6)),
        (pa.array([Decimal(1700000000)], pa.decimal128(38, 0)), ([1700000000], 10**6)),
        (pa.array([1.7e12, 1.7e12 + 0.5]), ([17 * 10**14, 17 * 10**14 + 500], 1)),
        (pa.array([0.5, 1.5, 2.0]), ([500000, 1500000, 2000000], 1)),
        (pa.array([3.0, 1.0, 2.0]), ([3, 1, 2], 10**6)),
        (pa.array([1700000000000, 1700000000001]), ([1700000000000, 1700000000001], 1000)),
    ],
    ids=str,
)
def test_timestamps(values, expected):
    assert read(values) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array(["2024-01-02", "02/01/2024"]), "timestamp, row 8: '02/01/2024' is no time; expected e.g. 2024-01-31"),
        (pa.array(["1700000000", "7", "x"]), "timestamp, row 9: 'x' is no number"),
        (pa.array(["2024-01-02", "1700000000"]), "timestamp, row 8: '1700000000' is no time"),
        (pa.array(["2024-01-02", None]), "timestamp, row 8: missing"),
        (pa.array([1.0, np.nan]), "timestamp, row 8: missing"),
        (pa.array([1.0, np.inf]), "timestamp, row 8: inf is no time"),
        (pa.array([2**64 - 1], pa.uint64()), "timestamp, row 7: 18446744073709551615 is out of range"),
        (pa.array([dt.time(1)], pa.time32("s")), r"timestamp: wrong type time32\[s\]"),
    ],
    ids=str,
)
def test_what_is_no_timestamp_names_the_row(values, message):
    with pytest.raises(DataError, match=message):
        TimeReader().read(pa.chunked_array([values]), Rows(7))


def test_chunks_of_another_type_are_refused():
    reader = TimeReader()
    reader.read(pa.chunked_array([pa.array([1])]))
    with pytest.raises(DataError, match="timestamp, from row 1 on: wrong type string, was int64 before"):
        reader.read(pa.chunked_array([pa.array(["2024-01-02"])]), Rows(1))
