"""Whoever follows the advice of an error gets further: each key that a message names makes the data stage run."""

import datetime as dt
import re

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from cascade.core.errors import DataError
from cascade.workflows.config import DataConfig, SchemaConfig
from cascade.workflows.data.stage import DATA

N = 60
AT = np.arange(N)
EVENTS = {"user_id": AT // 6 + 1, "item_id": AT * 7 % 10 + 1, "timestamp": 1_700_000_000 + 60 * AT}
ITEMS = {"item_id": np.arange(10) + 1}
SCHEMA = {"sparse": ["user_id", "item_id"]}
WITH_X = {"sparse": ["user_id", "item_id", "x"]}
DENSE = {**SCHEMA, "dense": ["x"]}
COMMA = {"csv": {"decimal": ",", "delimiter": ";"}}
MOMENTS = [dt.datetime(2024, 1, 1, 10, 0, 0, int(at)) for at in AT]


def repeated(*values, kind=None):
    """A column of ``N`` rows."""
    return pa.array([values[at % len(values)] for at in range(N)], kind)


CASES = {
    "text in an expression": (SCHEMA, {"x": repeated("1", "0")}, {"positive": "x > 0.5"}, 3),
    "text with a comma in an expression": (SCHEMA, {"x": repeated("1,5", "0")}, {"positive": "x > 0.5", **COMMA}, 1),
    "thousands in an expression": (SCHEMA, {"x": repeated("1.500", "0")}, {"positive": "x > 0.5", **COMMA}, 0),
    "words in an expression": (SCHEMA, {"x": repeated("yes", "no")}, {"positive": "x == 1"}, 1),
    "numbers and text": (SCHEMA, {"x": repeated(1, 0)}, {"positive": "x == '1'"}, 1),
    "a list in an expression": (SCHEMA, {"x": repeated(["a"])}, {"positive": "x == 'a'"}, 0),
    "numbers as text": (DENSE, {"x": repeated(" 1", "+2.5", "1e3")}, {}, 1),
    "numbers with a comma as text": (DENSE, {"x": repeated("1,5", "2")}, COMMA, 1),
    "numbers with thousands": (DENSE, {"x": repeated("1.500", "2")}, COMMA, 0),
    "an unsigned number": (WITH_X, {"x": repeated(1, 2**64 - 1, kind=pa.uint64())}, {}, 1),
    "microseconds": (WITH_X, {"x": pa.array(MOMENTS)}, {}, 1),
    "bytes": (WITH_X, {"x": repeated(b"a", b"b")}, {}, 1),
    "bytes as ids": (SCHEMA, {"item_id": repeated(b"a", b"b", b"c")}, {}, 1),
    "ids with a fraction": (SCHEMA, {"item_id": repeated(1.5, 2, 3)}, {}, 1),
    "durations as ids": (SCHEMA, {"item_id": repeated(1, 2, 3, kind=pa.duration("s"))}, {}, 1),
    "text as a label": (SCHEMA, {"label": repeated("yes", "no")}, {}, 1),
    "numbers as a label": (SCHEMA, {"label": repeated("1.0", "0.0", "1")}, {}, 1),
    "no value of a category": (WITH_X, {"x": pa.nulls(N)}, {}, 0),
    "no value of a number": (DENSE, {"x": pa.nulls(N)}, {}, 0),
    "a structure": (WITH_X, {"x": repeated({"a": 1, "b": 2})}, {}, 0),
    "a map": (WITH_X, {"x": repeated([("a", 1)], kind=pa.map_(pa.string(), pa.int64()))}, {}, 0),
    "lists of lists": (WITH_X, {"x": repeated([["a"]])}, {}, 0),
    "lists of structures": (WITH_X, {"x": repeated([{"a": 1}])}, {}, 0),
    "a list as an id": (SCHEMA, {"item_id": repeated(["a"])}, {}, 0),
    "two types of ids": (SCHEMA, {"item_id": pa.array([str(1 + at % 10) for at in AT])}, {}, 1),
    "unknown ids": (SCHEMA, {"item_id": repeated(*range(1, 12))}, {}, 2),
}
"""Schema, columns of interactions that replace others, section ``data``, and how many keys the message names."""


def advised(message):
    """The sections ``data`` that a message advises."""
    for column, first, more in re.findall(r"data\.types: {(\w+): (\w+)}(?: \(or ([\w, ]+)\))?", message):
        for kind in [first, *(more.split(", ") if more else [])]:
            yield {"types": {column: kind}}
    for encoding in re.findall(r"set data\.csv\.encoding: (\S+)", message):
        yield {"csv": {"encoding": encoding}}
    if "data.unknown" in message:
        yield from ({"unknown": action} for action in ("drop", "keep"))


def run(folder, schema, data):
    sections = {"data": DataConfig(source="tables", path=str(folder), **data), "schema": SchemaConfig(**schema)}
    return DATA.run(folder.parent / "runs", sections, {})


@pytest.mark.parametrize("case", CASES)
def test_what_an_error_advises_runs(tmp_path, case):
    schema, columns, data, count = CASES[case]
    folder = tmp_path / "t"
    folder.mkdir()
    pq.write_table(pa.table({**EVENTS, **columns}), folder / "interactions.parquet")
    if case in ("two types of ids", "unknown ids"):
        pq.write_table(pa.table(ITEMS), folder / "items.parquet")
    with pytest.raises(DataError) as raised:
        run(folder, schema, data)
    ways = [*advised(str(raised.value))]
    assert len(ways) == count and "; " in str(raised.value), raised.value
    for way in ways:
        if case == "two types of ids" or "unknown" in way or "item_id" not in way.get("types", {}):
            run(folder, schema, {**data, **way})
            continue
        assert run(folder, schema, {**data, **way}).metrics["n_items"] == 3


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("names", [["user_id", "item_id", "timestamp"], ["Ünbekannt", "имя", "時刻"]])
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_the_encoding_that_an_error_names_is_that_of_the_file(tmp_path, encoding, names, ending):
    folder = tmp_path / "t"
    folder.mkdir()
    rows = "".join(f"{','.join(map(str, row))}\n" for row in zip(*EVENTS.values(), strict=True))
    text = f"{','.join(names)}\n{rows}".encode(encoding)
    with pa.output_stream(str(folder / f"interactions.{ending}"), compression="detect") as stream:
        stream.write(text)
    columns = dict(zip(EVENTS, names, strict=True))
    with pytest.raises(DataError, match=rf"interactions\.{ending}: the header holds the character NUL") as raised:
        run(folder, SCHEMA, {"columns": columns})
    [way] = advised(str(raised.value))
    assert way == {"csv": {"encoding": encoding}}
    assert run(folder, SCHEMA, {"columns": columns, **way}).metrics["n_interactions"] == N


def write_csv_parts(folder, **parts):
    (folder / "interactions.csv").mkdir(parents=True)
    for name, (columns, header) in parts.items():
        options = pa_csv.WriteOptions(include_header=header)
        pa_csv.write_csv(pa.table(columns), folder / "interactions.csv" / f"{name}.csv", options)


@pytest.mark.parametrize("bare", ["a", "b"])
def test_a_part_file_without_a_header_is_named(tmp_path, bare):
    turned = dict([*EVENTS.items()][::-1])
    write_csv_parts(tmp_path / "t", a=(EVENTS, bare != "a"), b=(turned, bare != "b"))
    other = "b" if bare == "a" else "a"
    missing = rf"{bare}\.csv: has no column '(user_id|item_id)', which {other}\.csv has; its columns are .*17000000"
    with pytest.raises(DataError, match=rf"{missing}.*; if these are values, write the header"):
        run(tmp_path / "t", SCHEMA, {})


def test_the_order_of_columns_may_differ_between_part_files(tmp_path):
    turned = dict([*{**EVENTS, "timestamp": EVENTS["timestamp"] + 10**6}.items()][::-1])
    write_csv_parts(tmp_path / "t", a=(EVENTS, True), b=(turned, True))
    assert run(tmp_path / "t", SCHEMA, {}).metrics["n_items"] == 10


def test_a_table_without_a_header_and_a_header_among_the_rows_are_named(tmp_path):
    write_csv_parts(tmp_path / "t", a=(EVENTS, False))
    with pytest.raises(DataError, match=r"missing column; the table has 1, .*; if these are values, write the header"):
        run(tmp_path / "t", SCHEMA, {})
    file = tmp_path / "t" / "interactions.csv" / "a.csv"
    file.write_text("user_id,item_id\n1,2\nuser_id,item_id\n3,4\n")
    with pytest.raises(
        DataError, match=r"interactions\.user_id, row 1 \(line 3\): 'user_id' is the name of the column; take"
    ):
        run(tmp_path / "t", SCHEMA, {})
