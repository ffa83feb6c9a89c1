"""Rows of raw ids in arrays and Arrow columns."""

import numpy as np
import pyarrow as pa
import pytest

from cascade.core.errors import DataError
from cascade.workflows.sources.types import forced_reader_of
from cascade.workflows.tables.ids import rows_of, whole_ids


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
    found = whole_ids(table, "items", ["item_id"])["item_id"]
    assert found.type == pa.int64() and found.to_pylist() == [3, most - 1, None]
    beyond = pa.table({"item_id": pa.array(np.array([3, most], kind.to_pandas_dtype()), kind)})
    with pytest.raises(DataError, match=r"items.item_id, row 1: .* too large to be exact as a float"):
        whole_ids(beyond, "items", ["item_id"])
    with pytest.raises(pa.ArrowInvalid, match="not exact"):
        forced_reader_of("int", ".")(beyond["item_id"].combine_chunks())
