"""Rows of raw ids in arrays and Arrow columns."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.errors import DataError
from cascade.workflows.sources.types import forced_reader_of
from cascade.workflows.tables.ids import plain_ids, rows_of


def test_rows_of_ids_in_any_order():
    assert rows_of(np.array([[10, 30], [20, 20]]), np.array([30, 10, 20])).tolist() == [[1, 0], [2, 2]]


@pytest.mark.parametrize("known", [pa.array(["b", "a"]), np.array(["b", "a"])])
def test_rows_of_an_arrow_column(known):
    rows = rows_of(pa.chunked_array([["a"], ["b", "a"]]), known)
    assert rows.tolist() == [1, 0, 1] and rows.dtype == np.int32


def test_no_ids():
    assert rows_of(np.zeros((0, 3), np.int64), np.array([1])).shape == (0, 3)
    assert rows_of(pa.chunked_array([], pa.string()), pa.array(["a"])).tolist() == []


@pytest.mark.parametrize("ids", [np.array([[10, 25]]), np.array([10, 25], np.int32), pa.chunked_array([[10, 25]])])
def test_an_unknown_id_is_an_error(ids):
    with pytest.raises(ValueError, match="25"):
        rows_of(ids, np.array([30, 10, 20]))


@pytest.mark.parametrize(("kind", "most"), [(pa.float16(), 2**11), (pa.float32(), 2**24), (pa.float64(), 2**53)])
def test_whole_floats_are_ids_as_far_as_they_are_exact(kind, most):
    exact = pa.array(np.array([3, most - 1], kind.to_pandas_dtype()), kind)
    table = pa.table({"item_id": pa.concat_arrays([exact, pa.array([None], kind)])})
    found = plain_ids(table, "items", ["item_id"])["item_id"]
    assert found.type == pa.int64() and found.to_pylist() == [3, most - 1, None]
    beyond = pa.table({"item_id": pa.array(np.array([3, most], kind.to_pandas_dtype()), kind)})
    with pytest.raises(DataError, match=r"items.item_id, row 1: .* too large to be exact as a float"):
        plain_ids(beyond, "items", ["item_id"])
    with pytest.raises(pa.ArrowInvalid, match="not exact"):
        forced_reader_of("int", ".")(beyond["item_id"].combine_chunks())


TIMES = {
    pa.date32(): st.dates(),
    pa.date64(): st.dates(),
    pa.time64("ns"): st.times(),
    **{pa.timestamp(u): st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2250, 1, 1)) for u in ("us", "ns")},
}


@given(st.sampled_from([*TIMES]).flatmap(lambda k: st.tuples(st.just(k), st.lists(TIMES[k], min_size=1, max_size=4))))
def test_ids_that_are_times_are_their_text(typed):
    kind, times = typed
    for values in (pa.array(times, kind), pa.array(times, kind).dictionary_encode()):
        texts = plain_ids(pa.table({"item_id": values}), "items", ["item_id"])["item_id"].to_pylist()
        assert [type(time).fromisoformat(text) for time, text in zip(times, texts, strict=True)] == times
        assert [text for text in texts if "." in text and text.endswith("0")] == []
    zoned = plain_ids(pa.table({"item_id": pa.array([0], pa.timestamp("ms", "UTC"))}), "items", ["item_id"])
    assert zoned["item_id"].to_pylist() == ["1970-01-01 00:00:00Z"]


def test_ids_of_true_and_false_are_words_and_durations_are_refused():
    flags = plain_ids(pa.table({"item_id": [True, False]}), "items", ["item_id"])
    assert flags["item_id"].to_pylist() == ["true", "false"]
    gaps = pa.table({"item_id": pa.array([5], pa.duration("s"))})
    with pytest.raises(DataError, match=r"items.item_id: wrong type duration\[s\], .*data.types: {item_id: int}"):
        plain_ids(gaps, "items", ["item_id"])
    assert forced_reader_of("int", ".")(gaps["item_id"].combine_chunks()).to_pylist() == [5]
