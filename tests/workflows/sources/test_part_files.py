"""Tables of several part files: Hive keys, and columns that files lack or type otherwise."""

import re
import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import read, types_of

from cascade.core.errors import DataError
from cascade.workflows.config import DataConfig
from cascade.workflows.sources import open_source, source_inputs
from cascade.workflows.sources.files import _natural
from cascade.workflows.sources.types import forced_type

IDS = {"user_id": [1, 2], "item_id": [7, 8]}


def write_parts(folder, **parts):
    """Parquet files below ``interactions.parquet``: path, with ``__`` for ``/``, -> columns."""
    for name, columns in parts.items():
        file = folder / "interactions.parquet" / f"{name.replace('__', '/')}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), file)


def write_hive(folder, *parts, name="interactions.parquet"):
    for path, columns in parts:
        file = folder / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), file)


def test_hive_keys_are_columns(tmp_path):
    write_hive(
        tmp_path,
        ("split=test/0.parquet", IDS),
        ("split=train/0.parquet", IDS),
        ("split=train/1.parquet", IDS),
    )
    got = read(tmp_path)
    assert got["split"].to_pylist() == ["test"] * 2 + ["train"] * 4
    assert got["user_id"].to_pylist() == [1, 2] * 3


@pytest.mark.parametrize(
    ("keys", "kind", "values"),
    [
        (("1", "12"), "int64", [1, 12]),
        (("01", "12"), "string", ["01", "12"]),
        (("DE", "de%2Fx"), "string", ["DE", "de/x"]),
        (("1", "__HIVE_DEFAULT_PARTITION__"), "int64", [1, None]),
        (("2024-01-02", "2024-11-30"), "date32[day]", None),
        (("1.5", "2"), "double", [1.5, 2.0]),
        (("1", "x"), "string", ["1", "x"]),
        (("99999999999999999999", "1"), "string", ["99999999999999999999", "1"]),
    ],
)
def test_types_of_hive_keys(tmp_path, keys, kind, values):
    for key in keys:
        write_hive(tmp_path, (f"k={key}/0.parquet", {"user_id": [1], "item_id": [1]}))
    got = read(tmp_path)
    assert types_of(got)["k"] == kind
    if values is not None:
        assert sorted(got["k"].to_pylist(), key=str) == sorted(values, key=str)


def test_a_column_of_the_file_goes_before_a_key_of_its_name(tmp_path):
    write_hive(tmp_path, ("day=1/0.parquet", {**IDS, "day": ["mon", "tue"]}), ("day=2/0.parquet", IDS))
    assert read(tmp_path)["day"].to_pylist() == ["mon", "tue", "2", "2"]


def test_hive_keys_of_two_levels_renamed_and_forced(tmp_path):
    write_hive(tmp_path, ("y=2024/m=05/0.parquet", IDS), ("y=2024/m=11/0.parquet", IDS))
    got = read(tmp_path, columns={"month": "m"}, types={"month": "int"})
    assert got["month"].to_pylist() == [5, 5, 11, 11]
    assert got["y"].to_pylist() == [2024] * 4


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_all_that_is_used_is_a_key(tmp_path, ending):
    folder = tmp_path / f"interactions.{ending}" / "user_id=5" / "item_id=a"
    folder.mkdir(parents=True)
    spare = pa.table({"spare": [1, 2, 3]})
    if ending == "csv":
        pa_csv.write_csv(spare, folder / "0.csv")
    else:
        pq.write_table(spare, folder / "0.parquet")
    got = read(tmp_path, used={"interactions": {"user_id", "item_id"}})
    assert got.to_pydict() == {"user_id": [5] * 3, "item_id": ["a"] * 3}


def test_csv_parts_in_hive_folders(tmp_path):
    for day, line in (("2", "1,5"), ("1", "2,x")):
        folder = tmp_path / "interactions.csv" / f"day={day}"
        folder.mkdir(parents=True)
        (folder / "part.csv").write_text(f"user_id,item_id\n{line}\n")
        (folder / "_SUCCESS").touch()
        (folder / ".part.csv.crc").touch()
    assert read(tmp_path).to_pylist() == [
        {"user_id": 2, "item_id": "x", "day": 1},
        {"user_id": 1, "item_id": "5", "day": 2},
    ]


def test_every_part_is_an_input_of_the_stage(tmp_path):
    write_hive(tmp_path, ("d=1/0.parquet", IDS), ("d=2/0.parquet", IDS), ("_delta/x.parquet", IDS))
    (tmp_path / "items.csv.gz").touch()
    names = list(source_inputs(DataConfig(source="tables", path=str(tmp_path))))
    assert names == ["interactions.parquet/d=1/0.parquet", "interactions.parquet/d=2/0.parquet", "items.csv.gz"]


@pytest.mark.parametrize("first", [True, False])
def test_a_column_that_one_part_lacks_is_null_there(tmp_path, first):
    parts = [IDS, {**IDS, "device": ["web", "app"]}]
    write_parts(tmp_path, **dict(zip("ab", parts if first else parts[::-1], strict=True)))
    got = read(tmp_path)["device"].to_pylist()
    assert got == ([None, None, "web", "app"] if first else ["web", "app", None, None])


NULLS = pa.nulls(2)
DAYS = pa.array([0, 1], pa.int32()).cast(pa.date32())


@pytest.mark.parametrize(
    ("one", "other", "kind", "values"),
    [
        (NULLS, pa.array(["a", "b"]), "string", [None, None, "a", "b"]),
        (NULLS, pa.array([["a"], []]), "list<item: string>", [None, None, ["a"], []]),
        (pa.array([1, 2], pa.int8()), pa.array([300, 4], pa.int32()), "int32", [1, 2, 300, 4]),
        (pa.array([1, 2]), pa.array([0.5, None]), "double", [1.0, 2.0, 0.5, None]),
        (pa.array([1, 2]), pa.array(["007", "7"]), "string", ["1", "2", "007", "7"]),
        (pa.array(["a", "b"]).dictionary_encode(), pa.array(["c", "d"]), "string", ["a", "b", "c", "d"]),
        (pa.array([1, 2]), pa.array([5, 6]).dictionary_encode(), "int64", [1, 2, 5, 6]),
        (pa.array(["a", "b"]), pa.array(["c", "d"], pa.large_string()), "large_string", ["a", "b", "c", "d"]),
        (pa.array([[1], [2]]), pa.array([[0.5], []]), "list<item: double>", [[1.0], [2.0], [0.5], []]),
        (DAYS, DAYS.cast(pa.timestamp("us")), "timestamp[us]", None),
        (NULLS, NULLS, "null", [None] * 4),
    ],
)
@pytest.mark.parametrize("swap", [False, True])
def test_types_of_parts_are_unified(tmp_path, one, other, kind, values, swap):
    parts = [{**IDS, "x": other}, {**IDS, "x": one}] if swap else [{**IDS, "x": one}, {**IDS, "x": other}]
    write_parts(tmp_path, a=parts[0], b=parts[1])
    got = read(tmp_path)
    assert types_of(got)["x"].replace("element", "item") == kind  # Parquet's name of a list's values
    if values is not None:
        assert got["x"].to_pylist() == (values[2:] + values[:2] if swap else values)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([0.5, 1.5]), pa.array(["a", "b"])),
        (pa.array([True, False]), pa.array(["a", "b"])),
        (pa.array([["a"], ["b"]]), pa.array(["a", "b"])),
        (pa.array([0, 1], pa.timestamp("s")), pa.array([0, 1], pa.timestamp("s", "UTC"))),
    ],
)
def test_types_that_do_not_go_together_name_both_files(tmp_path, one, other):
    write_parts(tmp_path, a={**IDS, "x": one}, b={**IDS, "x": other})
    with pytest.raises(DataError, match=r"^interactions\.x: .* in .*a\.parquet, .* in .*b\.parquet; .*data\.types"):
        read(tmp_path)
    used = {"interactions": {"user_id", "item_id"}}
    assert read(tmp_path, used=used).column_names == ["user_id", "item_id"]


def test_lists_of_two_writers_are_one_type(tmp_path):
    write_parts(tmp_path, a={**IDS, "x": pa.array([["a"], []])})
    pq.write_table(
        pa.table({**IDS, "x": pa.array([["b"], None])}),
        tmp_path / "interactions.parquet" / "b.parquet",
        use_compliant_nested_type=False,
    )
    assert read(tmp_path)["x"].to_pylist() == [["a"], [], ["b"], None]


def test_a_type_that_is_forced_ends_the_quarrel(tmp_path):
    write_parts(tmp_path, a={**IDS, "x": [0.5, 2.0]}, b={**IDS, "x": ["1", " 3.25 "]})
    assert read(tmp_path, types={"x": "float"})["x"].to_pylist() == [0.5, 2.0, 1.0, 3.25]
    assert read(tmp_path, types={"x": "text"})["x"].to_pylist() == ["0.5", "2", "1", " 3.25 "]


def test_a_whole_number_that_no_float_holds_is_named(tmp_path):
    write_parts(tmp_path, a={**IDS, "x": [0.5, 1.0]}, b={**IDS, "x": [1, 2**53 + 1]})
    with pytest.raises(DataError, match=r"interactions\.x, row 1 of b\.parquet: 9007199254740993 .*data\.types"):
        read(tmp_path)


PRICES = ["5.77", "0.07", "-1234.56", None]


def prices(kind):
    """`PRICES` as decimals of two digits, one by one or in lists."""
    values = pa.array([price and Decimal(price) for price in PRICES], pa.decimal128(10, 2))
    if kind == "scalar":
        return values, [price and float(price) for price in PRICES]
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 4], pa.int32()), values)
    lists = lists.cast(pa.list_(values.type, 2)) if kind == "fixed" else lists
    return lists.cast(pa.large_list(values.type)) if kind == "large" else lists, [[5.77, 0.07], [-1234.56, None]]


@pytest.mark.parametrize("kind", ["scalar", "list", "large", "fixed"])
def test_decimals_beside_floats_become_the_nearest_float(tmp_path, kind):
    values, wanted = prices(kind)
    floats = pa.array(wanted)
    write_parts(tmp_path, a={"user_id": [1] * len(values), "x": values}, b={"user_id": [1] * len(values), "x": floats})
    assert read(tmp_path)["x"].to_pylist() == wanted * 2


def test_decimals_forced_to_floats_become_the_nearest_float(tmp_path):
    values, wanted = prices("scalar")
    write_parts(tmp_path, a={"user_id": [1] * len(values), "x": values})
    assert read(tmp_path, types={"x": "float"})["x"].to_pylist() == wanted


@pytest.mark.parametrize("forced", [None, "text", "float", "int"])
@pytest.mark.parametrize(("kind", "most"), [(pa.float32(), 2**24), (pa.float64(), 2**53)])
def test_an_id_that_may_have_been_another_is_refused_whatever_it_is_read_as(tmp_path, kind, most, forced):
    exact = pa.array([float(most - 1), None]).cast(kind)
    write_parts(tmp_path, a={"item_id": exact, "x": exact}, b={"item_id": [7, 8], "x": [7, 8]})
    types = {} if forced is None else {"item_id": forced}
    assert [v and str(int(v)) for v in read(tmp_path, types=types)["item_id"].to_pylist()] == [
        *(str(most - 1), None),
        *("7", "8"),
    ]
    inexact = pa.array([3.0, float(most)]).cast(kind)
    write_parts(tmp_path, a={"item_id": inexact, "x": exact})
    with pytest.raises(DataError, match=rf"interactions.item_id, row 1 of a.parquet: {most}.* too large to be exact"):
        read(tmp_path, types=types)


@pytest.mark.parametrize("forced", [None, "timestamp", "float", "int"])
@pytest.mark.parametrize("kind", [pa.float32(), pa.float16()])
def test_times_that_a_short_float_rounds_are_refused_whatever_they_are_read_as(tmp_path, kind, forced):
    largest = {pa.float32(): 2**24, pa.float16(): 2**11}[kind]
    types = {} if forced is None else {"timestamp": forced}
    for times in ([1.0, float(largest)], [1.0, None, float(largest * 2)]):
        short = pa.array(np.array([np.nan if time is None else time for time in times], kind.to_pandas_dtype()), kind)
        write_parts(tmp_path, a={**{key: [1] * len(times) for key in ("user_id", "item_id")}, "timestamp": short})
        match = rf"interactions.timestamp, row {len(times) - 1}: {int(times[-1])} is too large .*floats of 64"
        with pytest.raises(DataError, match=match):
            read(tmp_path, types=types)
        exact = pa.array([1.7e9] * len(times))
        write_parts(tmp_path, a={**{key: [1] * len(times) for key in ("user_id", "item_id")}, "timestamp": exact})
        assert len(read(tmp_path, types=types)) == len(times)


def test_one_name_twice_in_a_file(tmp_path):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], names=["user_id", "item_id", "user_id"])
    pq.write_table(table, tmp_path / "interactions.parquet")
    with pytest.raises(DataError, match="interactions.parquet: two columns are named 'user_id'"):
        read(tmp_path)


def test_categories_of_one_file_are_their_values(tmp_path):
    write_parts(tmp_path, a={**IDS, "x": pa.array(["a", None]).dictionary_encode()})
    assert types_of(read(tmp_path))["x"] == "string"
    assert read(tmp_path, types={"x": "text"})["x"].to_pylist() == ["a", None]


def test_bytes_are_text_if_the_config_says_so(tmp_path):
    write_parts(tmp_path, a={**IDS, "x": [b"a", None]}, b={**IDS, "x": ["b", "c"]})
    assert read(tmp_path, types={"x": "text"})["x"].to_pylist() == ["a", None, "b", "c"]


KINDS = [
    *(pa.array([1, 2]).cast(kind) for kind in (pa.int8(), pa.uint64(), pa.float32(), pa.decimal128(22, 2), pa.bool_())),
    *(pa.array([b"5", b"51"], kind) for kind in (pa.binary(), pa.large_binary())),
    *(pa.array(["5", "51"], kind) for kind in (pa.string(), pa.large_string())),
    pa.array([b"ab", b"cd"], pa.binary(2)),
    pa.array(["5", "51"]).dictionary_encode(),
    *(pa.array([0, 86400 * 10**6]).cast(kind) for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC"))),
    *(pa.array([0, 1], pa.int32()).cast(kind) for kind in (pa.date32(), pa.time32("s"))),
    pa.array([[1], [2]]),
    pa.array([{"a": 1}, {"a": 2}]),
    pa.nulls(2),
]


@pytest.mark.parametrize("forced", ["int", "float", "text", "bool", "timestamp"])
@pytest.mark.parametrize("values", KINDS, ids=lambda values: str(values.type))
def test_a_forced_type_is_one_type_from_every_kind_of_column(tmp_path, forced, values):
    write_parts(tmp_path, a={**IDS, "x": pa.nulls(2)}, b={**IDS, "x": values})
    (tmp_path / "interactions.parquet").rename(tmp_path / "users.parquet")
    write_parts(tmp_path, a=IDS)
    try:
        found = read(tmp_path, "users", types={"x": forced})["x"]
    except DataError as error:
        assert re.match(r"users\.x, row [01] of b\.parquet: .* is not .*, which data\.types\.x asks for", str(error))
    else:
        assert found.type == forced_type(forced)


@pytest.mark.parametrize("forced", ["int", "float"])
@pytest.mark.parametrize("wrong", ["+-7", "++7", "+"])
def test_one_sign_stands_before_a_number(tmp_path, forced, wrong):
    write_parts(tmp_path, a={**IDS, "x": ["+7", "-7"]}, b={**IDS, "x": ["7", wrong]})
    with pytest.raises(DataError, match=rf"interactions\.x, row 1 of b\.parquet: '{re.escape(wrong)}' is not a"):
        read(tmp_path, types={"x": forced})


def test_a_second_file_of_a_table_is_not_read_and_named(tmp_path, caplog):
    pq.write_table(pa.table(IDS), tmp_path / "interactions.parquet")
    (tmp_path / "interactions.csv.gz").touch()
    assert read(tmp_path).to_pydict() == IDS
    assert "interactions.csv.gz: not read, interactions.parquet is there" in caplog.text


def test_an_empty_folder(tmp_path):
    (tmp_path / "interactions.parquet").mkdir()
    with pytest.raises(DataError, match="interactions.parquet: the folder holds no file"):
        read(tmp_path)


VALUES = {
    "i": st.integers(-(2**40), 2**40),
    "f": st.floats(allow_nan=False, allow_infinity=False),
    "s": st.text(max_size=3),
    "b": st.booleans(),
    "l": st.lists(st.text(max_size=2), max_size=2),
}
TYPES = {"i": pa.int64(), "f": pa.float64(), "s": pa.string(), "b": pa.bool_(), "l": pa.list_(pa.string())}


@st.composite
def divided(draw):
    """Parts with permuted, missing and null-typed columns, and the one table that they come from."""
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        rows = draw(st.integers(0, 3))
        columns = {}
        for name in draw(st.permutations([*VALUES])):
            how = draw(st.sampled_from(["values", "nulls", "null type", "missing"]))
            if how == "values":
                values = draw(st.lists(st.none() | VALUES[name], min_size=rows, max_size=rows))
                columns[name] = pa.array(values, TYPES[name])
            elif how == "nulls":
                columns[name] = pa.nulls(rows, TYPES[name])
            elif how == "null type":
                columns[name] = pa.nulls(rows)
        parts.append({"item_id": pa.array(range(rows), pa.int64()), "user_id": pa.array(range(rows)), **columns})
    return parts


@pytest.mark.slow
@given(divided())
def test_parts_read_as_the_one_file_that_they_are(parts):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_parts(folder, **{f"p{number}": columns for number, columns in enumerate(parts)})
        source = open_source(DataConfig(source="tables", path=name))
        got = pa.concat_tables(source.interactions())
        rows = [len(part["item_id"]) for part in parts]
        assert source.rows == got.num_rows == sum(rows)
        for column in {column for part in parts for column in part}:
            wanted = [
                value
                for part, count in zip(parts, rows, strict=True)
                for value in (part[column].to_pylist() if column in part else [None] * count)
            ]
            assert got[column].to_pylist() == wanted
            if any(value is not None for value in wanted) and column in TYPES:
                assert got[column].type == TYPES[column]


@pytest.mark.parametrize("ending", ["parquet", "csv"])
@pytest.mark.parametrize(
    "names",
    [
        [f"part-{number}" for number in range(1, 13)],
        [f"day={day}/{name}" for day in (9, 10) for name in ("0", "2", "10")],
        ["day=2/part-10", "day=10/part-9"],
        ["1-a", "01-b", "2", "a", "a1", "a1b", "a2"],
    ],
)
def test_numbers_in_the_names_of_parts_are_numbers(tmp_path, ending, names):
    for row, name in enumerate(names[::-1]):
        file = tmp_path / f"interactions.{ending}" / f"{name}.{ending}"
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = pa.table({"user_id": [1], "item_id": [len(names) - 1 - row]})
        (pa_csv.write_csv if ending == "csv" else pq.write_table)(rows, file)
    assert read(tmp_path)["item_id"].to_pylist() == [*range(len(names))]


def write_csv(file, rows="user_id,item_id\n1,7\n"):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(rows)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_folder_needs_no_ending(tmp_path, ending):
    for day in (9, 10):
        file = tmp_path / "interactions" / f"day={day}" / f"part-0.{ending}"
        file.parent.mkdir(parents=True)
        table = pa.table({"user_id": [1], "item_id": [day]})
        (pa_csv.write_csv if ending == "csv" else pq.write_table)(table, file)
    (tmp_path / "interactions" / "_SUCCESS").touch()
    write_csv(tmp_path / "items" / "a.csv", "item_id,price\n9,1.5\n10,2\n")
    assert read(tmp_path).select(["item_id", "day"]).to_pylist() == [{"item_id": d, "day": d} for d in (9, 10)]
    assert read(tmp_path, "items")["price"].to_pylist() == [1.5, 2.0]
    names = [f"interactions/day={day}/part-0.{ending}" for day in (10, 9)]
    assert list(source_inputs(DataConfig(source="tables", path=str(tmp_path)))) == [*names, "items/a.csv"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["interactions/a.csv", "interactions.csv"], r"both interactions/ and interactions\.csv are there"),
        (["interactions/a.csv", "interactions.parquet/a"], r"both interactions/ and interactions\.parquet are there"),
        (["interactions/a.csv", "interactions/b/c.parquet"], r"interactions: holds a\.csv and b/c\.parquet; expected"),
        (["interactions/a.csv", "interactions/b.csv.gz", "interactions/n.txt"], "holds a.csv and b.csv.gz and n.txt"),
        (["interactions/a.txt"], r"no interactions\.csv .*, and no folder interactions/ of such files"),
    ],
)
def test_a_folder_of_which_it_is_not_clear_what_it_is(tmp_path, files, message):
    for file in files:
        write_csv(tmp_path / file)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_a_folder_of_pictures_is_no_table(tmp_path, caplog):
    write_csv(tmp_path / "interactions.csv")
    write_csv(tmp_path / "items" / "7.jpg")
    assert read(tmp_path, "items") is None and "items/: not read, it holds no file" in caplog.text
    caplog.clear()
    write_csv(tmp_path / "items.csv", "item_id\n7\n")
    assert read(tmp_path, "items").num_rows == 1 and not caplog.text


NAME = st.lists(st.tuples(st.text("a=-._/", max_size=2), st.integers(0, 20)), min_size=1, max_size=3)


@given(st.lists(NAME, unique_by=str))
def test_the_order_is_that_of_padded_numbers(names):
    def path(bits, width):
        return Path("x" + "_".join(f"{text}{number:0{width}d}" for text, number in bits) + ".csv")

    found = sorted(names, key=lambda bits: _natural(path(bits, 1)))
    assert [path(bits, 3) for bits in found] == sorted(path(bits, 3) for bits in names)
