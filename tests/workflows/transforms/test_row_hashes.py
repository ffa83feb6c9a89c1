"""Hashes of rows: equal for equal rows, different for others, whatever the order of rows and columns."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.workflows.transforms.row_hashes import row_hashes

KINDS = {
    "number": pa.int64(),
    "price": pa.float64(),
    "brand": pa.string(),
    "tags": pa.list_(pa.string()),
    "sizes": pa.list_(pa.int64()),
    "image": pa.list_(pa.float32()),
}
VALUES = {
    "number": st.none() | st.integers(-3, 3),
    "price": st.none() | st.sampled_from([0.0, 0.5, 1e30]),
    "brand": st.none() | st.text("aé", max_size=2),
    "tags": st.lists(st.text("aé", max_size=2), max_size=3),
    "sizes": st.lists(st.integers(-1, 1), max_size=3),
    "image": st.lists(st.sampled_from([0.0, 0.25, -1.0]), max_size=2),
}
ROWS = st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=12)


def table(rows):
    return pa.Table.from_pylist(rows, schema=pa.schema(KINDS))


@given(rows=ROWS)
def test_equal_rows_and_only_these_have_equal_hashes(rows):
    hashes = row_hashes(table(rows), KINDS).tolist()
    for one, left in zip(rows, hashes, strict=True):
        assert [other == one for other in rows] == [right == left for right in hashes]


@given(rows=ROWS, cut=st.integers(0, 12))
def test_parts_and_other_columns_do_not_matter(rows, cut):
    whole, columns = table(rows), ["brand", "tags"]
    parts = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    assert (row_hashes(parts, columns) == row_hashes(whole.select(["tags", "brand"]), columns[::-1])).all()


@pytest.mark.parametrize(
    ("one", "other"),
    [({"tags": ["ab"]}, {"tags": ["a", "b"]}), ({"tags": ["a", "b"]}, {"tags": ["b", "a"]}), ({"brand": ""}, {})],
)
def test_what_only_looks_alike_differs(one, other):
    left, right = row_hashes(table([one, other]), KINDS).tolist()
    assert left != right


def test_no_columns():
    assert row_hashes(table([{}, {}]), []).tolist() == [0, 0]
