"""Lookups against a dict, whatever the numbers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cascade.workflows.lookup_tables import MISSING_INT, Codes, codes_for, to_front

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
    got = Codes.load(folder, "text")(values, 1, 2)
    assert got.tolist() == [1 if value is None else table.get(value, 2) for value in values]


@given(st.data(), st.integers(0, 6), st.integers(0, 6), st.one_of(st.none(), st.integers(1, 7)))
def test_to_front_is_a_loop(data, n, width, cut):
    values = np.arange(n * width).reshape(n, width)
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=n * width, max_size=n * width)), bool).reshape(n, width)
    rows = [[int(v) for v, k in zip(*row, strict=True) if k][:cut] for row in zip(values, keep, strict=True)]
    size = max(map(len, rows), default=0) if cut is None else cut
    assert to_front(values, keep, -1, cut).tolist() == [row + [-1] * (size - len(row)) for row in rows]
