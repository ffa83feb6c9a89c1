"""Ids and categories in a CSV: their text comes back as it was written, however it is divided into files."""

import tempfile
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reading import read

from cascade.workflows.config import DataConfig
from cascade.workflows.sources import open_source, text_types

DIGITS = st.text("0123456789", min_size=1, max_size=20)
SIGN = st.sampled_from(["", "-", "+"])
NUMBERS = st.builds(
    "".join,
    st.tuples(
        SIGN,
        DIGITS | st.just(""),
        st.just("") | DIGITS.map(lambda text: f".{text}") | st.sampled_from([".", ".0", ".10", ".00"]),
        st.just("") | st.tuples(st.sampled_from("eE"), SIGN, DIGITS).map("".join),
    ),
).filter(bool)
SPELLINGS = (
    st.integers(-(2**70), 2**70).map(str)
    | st.integers(0, 99).map(str)
    | st.floats(allow_nan=False).map(repr)
    | st.floats(0, 100).map("{:.2f}".format)
    | NUMBERS
    | st.sampled_from(["1E3", "1.10", "007", "+7", "-0", "0x1F", "1_0", "true", "False", "A45", "inf", ".5", "5."])
    | st.dates(date(1000, 1, 1)).map(str)
    | st.sampled_from(["2024-01-02 10:00:00", "2024-01-02T10:00:00.50", "10:00"])
)


def table_of(folder, texts, sizes):
    """The texts as an id and as a category, in part files of these sizes and one of the rest."""
    parts = Path(folder) / "interactions.csv"
    parts.mkdir()
    left = [*texts]
    for number, size in enumerate([*sizes, len(left)]):
        rows, left = left[:size], left[size:]
        (parts / f"{number}.csv").write_text("user_id,item_id,x\n" + "".join(f"1,{t},{t}\n" for t in rows))
    source = open_source(DataConfig(source="tables", path=str(folder)), None, ["x"])
    return pa.concat_tables(source.interactions())


def is_printed(value, text):
    """Whether a value is printed as it was written; whole numbers may be written 3.0."""
    return text in (repr(value), f"{value!r}.0") or f"{text}.0" == repr(value)


@pytest.mark.slow
@pytest.mark.parametrize("first", [100, 1])
@settings(max_examples=250, deadline=None)
@given(st.lists(SPELLINGS, min_size=1, max_size=5), st.lists(st.integers(0, 3), max_size=2))
@example(["1", "1E3"], [1])
@example(["4.5", "1.10"], [1])
@example(["1.1", "1.10"], [])
@example(["0.00001"], [])
@example(["7.0", "8"], [1])
def test_what_was_written_comes_back(first, texts, sizes):
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as many, pytest.MonkeyPatch.context() as p:
        p.setattr(text_types, "FIRST", first)
        whole, divided = table_of(one, texts, []), table_of(many, texts, sizes)
    assert whole.schema == divided.schema and whole.to_pylist() == divided.to_pylist()
    ids, values = whole["item_id"], whole["x"].to_pylist()
    if pa.types.is_floating(ids.type):  # as pandas writes whole numbers beside a missing one
        assert all(text.removesuffix(".0").lstrip("-").isdigit() for text in texts)
    else:
        assert [str(value) for value in ids.to_pylist()] == texts
    if not (pa.types.is_temporal(whole["x"].type) or pa.types.is_boolean(whole["x"].type)):
        assert all(is_printed(*pair) or pair[0] == pair[1] for pair in zip(values, texts, strict=True))


@pytest.mark.parametrize(
    ("texts", "ids", "values"),
    [
        (["1", "20"], [1, 20], [1, 20]),
        (["1E3", "1000"], ["1E3", "1000"], ["1E3", "1000"]),
        (["1.10", "1.1"], ["1.10", "1.1"], ["1.10", "1.1"]),
        (["0.5", "20", "4.0"], ["0.5", "20", "4.0"], [0.5, 20.0, 4.0]),
        (["3.0", "4"], [3.0, 4.0], [3.0, 4.0]),
        (["2024-01-02"], ["2024-01-02"], [date(2024, 1, 2)]),
        (["true", "FALSE"], ["true", "FALSE"], [True, False]),
    ],
)
def test_numbers_that_are_names(tmp_path, texts, ids, values):
    got = table_of(tmp_path, texts, [])
    assert got["item_id"].to_pylist() == ids and got["x"].to_pylist() == values


def test_numbers_that_stay_text_and_ids_that_change_are_said(tmp_path, caplog):
    table_of(tmp_path, ["1.10", "2.50"], [])
    [line] = caplog.messages
    assert line.startswith("interactions.x: numbers such as 1.10 stay text") and "{x: float} reads them" in line
    caplog.clear()
    assert read(tmp_path, types={"x": "float"})["x"].to_pylist() == [1.1, 2.5] and not caplog.messages
    (tmp_path / "interactions.csv" / "0.csv").write_text("user_id,item_id,x\n1,3.0,1\n")
    read(tmp_path)
    [line] = caplog.messages
    assert line.startswith("interactions.item_id: ids are written like 3.0") and "{item_id: int}" in line


def test_a_hive_key_that_is_an_id_is_its_text(tmp_path):
    for key in ("1.10", "2"):
        folder = tmp_path / "interactions.csv" / f"item_id={key}"
        folder.mkdir(parents=True)
        (folder / "0.csv").write_text("user_id\n1\n")
    assert read(tmp_path)["item_id"].to_pylist() == ["1.10", "2"]
