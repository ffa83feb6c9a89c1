"""Hashed codes compared with the algorithms in plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.workflows.transforms.codes import MISSING_INT
from cascade.workflows.transforms.hashing import HashedCodes

MASK, GOLDEN = (1 << 64) - 1, 0x9E3779B97F4A7C15


def mixed(value):
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def fnv(text):
    value = 0xCBF29CE484222325
    for byte in text.encode("utf-8", "surrogatepass"):
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def of_value(value):
    if value is None:
        return mixed(1 << 63)
    if isinstance(value, str):
        return mixed(fnv(value))
    number = value if isinstance(value, int) else int(np.float64(value + 0.0).view(np.int64))
    return mixed(number & MASK)


def code(values, buckets):
    if all(value is None for value in values):
        return 1
    joined = 0
    for value in values:
        joined = mixed((joined * GOLDEN + of_value(value) + GOLDEN) & MASK)
    return 3 + joined % buckets


def column(values, kind):
    missing, dtype = {"int": (MISSING_INT, np.int64), "float": (np.nan, np.float64), "string": (None, object)}[kind]
    return np.array([missing if value is None else value for value in values], dtype)


def test_published_values():
    """Values of SplitMix64 with seed 0, and of FNV's test suite."""
    assert mixed(GOLDEN) == 0xE220A8397B1DCDAF
    assert (fnv(""), fnv("a"), fnv("foobar")) == (0xCBF29CE484222325, 0xAF63DC4C8601EC8C, 0x85944171F73967E8)


WHOLE = st.one_of(st.none(), st.integers(-(2**63) + 1, 2**63 - 1))
REAL = st.one_of(st.none(), st.sampled_from([0.0, -0.0]), st.floats(allow_nan=False))
ROWS = st.lists(st.tuples(WHOLE, REAL, st.one_of(st.none(), st.text())), min_size=1, max_size=8)


@given(ROWS, st.integers(2, 2**40))
def test_each_column_and_all_together(rows, buckets):
    columns = [column(values, kind) for values, kind in zip(zip(*rows, strict=True), KINDS, strict=True)]
    hashed = HashedCodes(buckets)
    for at, own in enumerate(columns):
        assert hashed([own]).tolist() == [code([row[at]], buckets) for row in rows]
    assert hashed(columns).tolist() == [code(row, buckets) for row in rows]


KINDS = ("int", "float", "string")


def test_equal_numbers_have_one_code_and_the_missing_code_is_given():
    hashed = HashedCodes(1000)
    zero, minus = hashed([np.array([0.0, -0.0])]).tolist()
    assert zero == minus
    assert hashed([np.array([[np.nan]])], missing=-1).tolist() == [[-1]]


def test_the_order_of_columns_matters():
    a, b = np.array([1, 2, MISSING_INT, 1]), np.array([2, 1, 1, MISSING_INT])
    assert len(set(HashedCodes(10**9)([a, b]).tolist())) == 4


@pytest.mark.parametrize("zero", [np.array([0, MISSING_INT]), np.array([0.0, np.nan]), np.array(["", None], object)])
def test_a_missing_value_is_not_zero(zero):
    first, second = HashedCodes(10**9)([np.array([1, 1]), zero]).tolist()
    assert first != second


@pytest.mark.parametrize("values", [np.arange(100_000), np.array([f"item {i}" for i in range(100_000)], object)])
def test_consecutive_values_spread_evenly(values):
    """Chi-squared over 1,000 buckets of 100 values each: mean 999, standard deviation 45."""
    counts = np.bincount(HashedCodes(1000)([values]) - 3, minlength=1000)
    assert len(counts) == 1000
    assert abs(((counts - 100) ** 2 / 100).sum() - 999) < 5 * 45
