"""Checks of single tables; those of whole sources are in test_ingest."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.errors import DataError
from cascade.workflows.tables.validate import check_finite, check_unique


@given(st.lists(st.text(max_size=2), min_size=1, max_size=12))
def test_duplicates_are_found_whatever_the_ids(ids):
    table = pa.table({"user_id": pa.array(ids, pa.string())})
    first = {}
    twice = [(i, first.setdefault(value, i)) for i, value in enumerate(ids)]
    again = [(i, where) for i, where in twice if i != where]
    if not again:
        check_unique(table, "users", "user_id")
        return
    with pytest.raises(DataError, match=rf"row {again[0][0]}: duplicate id .*, first in row {again[0][1]}"):
        check_unique(table, "users", "user_id")


@pytest.mark.parametrize("number", [float("inf"), float("-inf")])
def test_an_infinite_number_is_refused_in_lists_too(number):
    lists = pa.array([[1.0], [], [2.0, number]])
    check_finite(pa.table({"codes": lists[:2]}), "items", "codes")
    with pytest.raises(DataError, match=r"items\.codes, row 2: an infinite number in the list"):
        check_finite(pa.table({"codes": lists}), "items", "codes")
