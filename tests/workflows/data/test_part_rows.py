"""What is wrong in a table of several files is named with the file, and the row in it."""

import datetime as dt

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.errors import DataError
from cascade.workflows.config import DataConfig
from cascade.workflows.sources import open_source
from cascade.workflows.tables.rows import Rows

SIZES = (2, 0, 3)
"""Rows of the part files; row 4 of the table is row 2 of the third."""
GOOD = {
    "interactions": {"user_id": [1, 2, 1, 2, 1], "item_id": [7, 8, 8, 7, 9], "timestamp": [1, 2, 3, 4, 5]},
    "items": {"item_id": [5, 6, 7, 8, 9], "spare": [1] * 5},
}
SPARSE = ("user_id", "item_id")
SPLIT = ["train", "train", "valid", "test", "dev"]
HOURS = [dt.datetime(2024, 1, 1, hour) for hour in range(4)]
FORMATS = ("parquet", "csv")


@pytest.fixture
def run(run_data, tmp_path):
    def go(ending, schema, tables, **data):
        for name, columns in tables.items():
            folder, start = tmp_path / "tables" / f"{name}.{ending}" / "day=1", 0
            folder.mkdir(parents=True)
            for size, part in zip(SIZES, "abc", strict=True):
                rows = pa.table(columns).slice(start, size)
                start += size
                (pq.write_table if ending == "parquet" else pa_csv.write_csv)(rows, folder / f"{part}.{ending}")
        return run_data(schema, source="tables", path=str(tmp_path / "tables"), **data)

    return go


def cases():
    """Table, column, values whose last one is wrong, data keys, and what the message says after the row."""
    yield "interactions", "item_id", [7, 8, 8, 7, None], {}, "missing id"
    yield "interactions", "user_id", ["a", "b", "b", "a", " "], {}, "missing id .* blank"
    yield "interactions", "user_id", ["a", "b", "b", "a", "x" * 600], {}, "an id of 600 characters"
    yield "interactions", "item_id", [7, 8, 8, 7, 10], {}, "10 is not in items.item_id"
    yield "interactions", "timestamp", [*"abcd", "x"], {}, "'a' is no time"
    yield "interactions", "timestamp", [1, 2, 3, 4, None], {}, "missing"
    yield "interactions", "timestamp", [*HOURS, None], {}, "missing"
    yield "interactions", "timestamp", [17 * 10**8] * 4 + [17 * 10**11], {}, "17.* is a number of milliseconds"
    yield "interactions", "label", [0, 1, 0, 1, 2], {}, "2, expected 0 or 1"
    yield "interactions", "part", SPLIT, {"split": {"by": "column", "column": "part"}}, "'dev', expected train"
    yield "interactions", "cost", [1.0, 2, 3, 4, 1e31], {}, ".* is too large for schema.dense"
    yield "interactions", "cost", ["1", "2", "3", "4", "x"], {}, "'x' is not a number"
    yield "interactions", "cost", ["1", "2", "3", "4", "x"], {"types": {"cost": "float"}}, "'x' is not a number, which"
    yield "interactions", "rank", [1, 2, 3, 4, None], {"columns": {"order": "rank"}}, "missing"
    yield "items", "item_id", [5, 6, 7, 8, 6], {}, "duplicate id 6, first in row 1 of day=1/a"
    yield "items", "item_id", [5, 6, 7, 8, None], {}, "missing id"
    yield "items", "price", [1.0, 2, 3, 4, 1e31], {}, ".* is too large"
    yield "items", "tags", ["[1]", "[2]", "[3]", "[4]", "x"], {"separators": {"tags": "json"}}, "'x' is no JSON"
    yield "items", "title", [*"abcd", "a\0"], {"separators": {"title": "|"}}, ".* NUL"


def parquet_cases():
    yield "interactions", "item_id", [7.0, 8.0, 8.0, 7.0, 9.5], {}, "9.5 has a fraction"
    yield "interactions", "code", pa.array([1, 2, 3, 4, 2**63], pa.uint64()), {}, "9223372036854775808 is out of range"
    yield "interactions", "code", [*HOURS, dt.datetime(2024, 1, 1, 5, 0, 0, 1)], {}, ".* is no whole second"
    yield "items", "tags", [["a"], [], None, ["b"], ["c", "a\0"]], {}, ".* NUL"
    yield "items", "vec", [[1.0, 2], [1, 3], [1, 4], [1, 5], [1]], {}, "expected 2 numbers"
    yield "items", "raw", pa.array([b"a", b"b", b"c", b"d", b"\xff"]), {"types": {"raw": "text"}}, "b'.xff' is not text"


@pytest.mark.parametrize(
    ("ending", "table", "column", "values", "data", "message"),
    [(ending, *case) for case in cases() for ending in FORMATS] + [("parquet", *case) for case in parquet_cases()],
)
def test_the_file_and_its_row_are_named(run, ending, table, column, values, data, message):
    tables = {name: dict(columns) for name, columns in GOOD.items()}
    tables[table][column] = values
    ours = {"rank": "order"}.get(column, column)
    dense, vectors = {"cost", "price"} & {column}, {"vec"} & {column}
    sparse = [*SPARSE, *(name for name in ("code", "tags", "title", "raw") if name == column)]
    row, line = ("row 0 of day=1/a", 2) if message.startswith("'a' is no time") else ("row 2 of day=1/c", 4)
    where = rf"{row}\.{ending}" + (rf" \(line {line}\)" if ending == "csv" else "")
    with pytest.raises(DataError, match=rf"^{table}\.{ours}, {where}( \(item_id 9\))?: {message}"):
        run(ending, {"dense": [*dense], "sparse": sparse, "vectors": [*vectors]}, tables, **data)


def test_no_row_is_named_where_rows_were_left_out(run):
    """What the check of values reads has other rows then: row 0, of the unknown item, is gone."""
    tables = {**GOOD, "interactions": {**GOOD["interactions"], "item_id": [99, 8, 8, 7, 9], "cost": [*"123", "x", "4"]}}
    schema = {"sparse": [*SPARSE], "dense": ["cost"]}
    with pytest.raises(DataError, match=r"^interactions\.cost: 'x' is not a number"):
        run("csv", schema, tables, unknown="drop")


def test_bytes_of_another_encoding(tmp_path):
    (tmp_path / "interactions.csv").mkdir()
    for name, line in (("a", b"1,2\n1,3"), ("b", b"1,4\n1,d\xe9")):
        (tmp_path / f"interactions.csv/{name}.csv").write_bytes(b"user_id,item_id\n" + line)
    with pytest.raises(DataError, match=r"^interactions\.item_id, row 1 of b\.csv: b'd.*xe9' is not utf-8"):
        open_source(DataConfig(source="tables", path=str(tmp_path)))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6).filter(any), st.data())
def test_rows_of_parts(sizes, data):
    places = [(file, row) for file, size in enumerate(sizes) for row in range(size)]
    at = data.draw(st.integers(0, len(places) - 1))
    start = data.draw(st.integers(0, at))
    parts = [(sum(sizes[:file]), f"p{file}") for file in range(len(sizes))]
    file, row = places[at]
    assert Rows(0, parts).after(start)(at - start) == f"row {row} of p{file}"
    lined = [number != file for number in range(len(sizes))]
    assert Rows(0, parts, lined).after(start)(at - start) == f"row {row} of p{file}"
    assert Rows(0, parts, [not one for one in lined])(at) == f"row {row} of p{file} (line {row + 2})"
    assert Rows(start, (), [True])(at - start) == f"row {at} (line {at + 2})"
    assert Rows(start)(at - start) == f"row {at}"
