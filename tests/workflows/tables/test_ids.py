"""Rows of raw ids in arrays and Arrow columns."""

import numpy as np
import pyarrow as pa
import pytest

from cascade.workflows.tables.ids import rows_of


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
