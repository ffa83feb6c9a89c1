"""Lookup tables compared with a dict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.workflows.transforms.codes import MISSING_INT, to_front
from cascade.workflows.transforms.lookup_tables import codes_for, load_codes
from cascade.workflows.transforms.number_tables import DenseCodes, SortedCodes

WIDE = st.integers(-(2**63) + 1, 2**63 - 1)
NEAR = st.integers(-20, 40)
EDGES = st.sampled_from([2**63 - 1, 2**63 - 2, -(2**63) + 1, -(2**63) + 2])


@given(
    st.one_of(*(st.lists(kind, unique=True, max_size=20) for kind in (WIDE, NEAR, EDGES))),
    st.lists(st.one_of(WIDE, NEAR, EDGES, st.just(MISSING_INT)), min_size=1, max_size=20),
)
def test_whole_numbers(known, asked):
    table = {value: code for code, value in enumerate(known, 3)}
    codes = codes_for(np.array(known, np.int64), np.arange(3, 3 + len(known)))
    got = codes(np.array([[*asked, *known]], np.int64), 1, 2)
    expected = [1 if value == MISSING_INT else table.get(value, 2) for value in [*asked, *known]]
    assert got.tolist() == [expected]
    assert got.dtype == np.int64


@pytest.mark.parametrize(
    ("known", "kind"), [([7, 500, 9], DenseCodes), ([7, 10**9, -5], SortedCodes), ([], SortedCodes)]
)
def test_numbers_on_disk_and_back_are_mapped(tmp_path, known, kind):
    codes_for(np.array(known, np.int32), np.arange(len(known))).save(tmp_path, "n")
    codes = load_codes(tmp_path, "n")
    assert isinstance(codes, kind)
    assert codes(np.array([[*known, 8, MISSING_INT]]), -2, -1).tolist() == [[*range(len(known)), -1, -2]]
    tables = [table for table in vars(codes).values() if isinstance(table, np.ndarray)]
    assert tables and all(isinstance(table.base, np.memmap) for table in tables)


def test_dense_values_in_the_files_of_sparse_ones(tmp_path):
    """Older etl artifacts have these files."""
    SortedCodes(np.array([7, 9]), np.array([1, 2])).save(tmp_path, "n")
    codes = load_codes(tmp_path, "n")
    assert isinstance(codes, DenseCodes)
    assert codes(np.array([9, 8, 7]), -2, -1).tolist() == [2, -1, 1]


@given(st.lists(st.floats(allow_nan=False), unique=True, max_size=10), st.lists(st.floats(), min_size=1, max_size=10))
def test_real_numbers(known, asked):
    table = {value: code for code, value in enumerate(known, 3)}
    got = codes_for(np.array(known, float), np.arange(3, 3 + len(known)))(np.array([*asked, *known]), 1, 2)
    assert got.tolist() == [1 if value != value else table.get(value, 2) for value in [*asked, *known]]


@given(st.lists(st.text(), unique=True, max_size=10), st.lists(st.one_of(st.none(), st.text()), max_size=10))
def test_strings_on_disk_and_back(tmp_path_factory, known, asked):
    folder = tmp_path_factory.mktemp("codes")
    codes_for(known, np.arange(3, 3 + len(known))).save(folder, "text")
    table = {value: code for code, value in enumerate(known, 3)}
    values = np.array([*asked, *known], object)
    got = load_codes(folder, "text")(values, 1, 2)
    assert got.tolist() == [1 if value is None else table.get(value, 2) for value in values]


@given(st.lists(st.lists(st.integers(-2, 9), min_size=4, max_size=4), max_size=5), st.integers(0, 6))
def test_to_front_is_a_loop(rows, width):
    front = np.empty((len(rows), width), np.int64)
    to_front(np.array(rows, np.int64).reshape(len(rows), 4), 77, front)
    kept = [[value for value in row if value >= 0][:width] for row in rows]
    assert front.tolist() == [row + [77] * (width - len(row)) for row in kept]
