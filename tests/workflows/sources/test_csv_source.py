"""CSV: types from the whole file, dialects, encodings, compression, lists, and errors that name the place."""

import bz2
import csv
import gzip
import io
import tempfile
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from reading import read, types_of

from cascade.core.errors import DataError
from cascade.workflows.sources import csv_parts

HEAD = "user_id,item_id,x\n"


def write(folder, text, name="interactions.csv", encoding="utf-8"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode(encoding))


@pytest.mark.parametrize("types", [{}, {"x": "text"}])
@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_header_alone_is_an_empty_table(tmp_path, types, ending, encoding):
    options = {"types": types, "csv": {"encoding": encoding}}
    write(tmp_path, HEAD.strip() + ending, encoding=encoding)
    write(tmp_path, "user_id,age" + ending, "users.csv", encoding=encoding)
    assert read(tmp_path, **options).num_rows == 0
    assert read(tmp_path, "users", **options).column_names == ["user_id", "age"]


@given(
    values=st.lists(st.none() | st.integers(-(2**53) + 1, 2**53 - 1), min_size=1, max_size=6),
    pointed=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_numbers_become_the_same_text_from_every_source(values, pointed):
    numbers = pa.array([None if v is None else float(v) if pointed else v for v in values])
    table = pa.table({"user_id": [1] * len(values), "x": numbers})
    found = []
    for ending in ("csv", "parquet"):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"interactions.{ending}"
            if ending == "csv":
                table.to_pandas().astype({"x": object}).to_csv(file, index=False)
            else:
                pq.write_table(table, file)
            found.append(read(folder, types={"x": "text"})["x"].to_pylist())
    assert found[0] == found[1] == [None if v is None else str(v) for v in values]


def test_text_that_only_looks_like_numbers_is_kept(tmp_path):
    write(tmp_path, 'user_id,version,zip,word\n1,1.0,007,"NA\n"\n2,1.10,8.0, 7.0 \n')
    table = read(tmp_path, types={"version": "text", "zip": "text", "word": "text"})
    assert table["word"].to_pylist() == ["NA\n", "7"]
    assert table["version"].to_pylist() == ["1.0", "1.10"]
    assert table["zip"].to_pylist() == ["007", "8.0"]


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few rows, so that what a later block holds matters."""
    monkeypatch.setattr(csv_parts, "BLOCK", 1 << 10)


@pytest.mark.parametrize(
    ("early", "late", "kind", "first", "last"),
    [
        ("", "SUMMER", "string", None, "SUMMER"),
        ("5", "4.5", "double", 5.0, 4.5),
        ("5", "A45", "string", "5", "A45"),
        ("", "7", "int64", None, 7),
        ("NA", "7", "int64", None, 7),
        ("NA", "DE", "string", "NA", "DE"),
        (r"\N", "4.5", "double", None, 4.5),
        ("1", "007", "string", "1", "007"),
        ("0", "-3", "int64", 0, -3),
        ("0.5", "007", "string", "0.5", "007"),
        ("1", "18446744073709551615", "uint64", 1, 2**64 - 1),
        ("1", "99999999999999999999", "string", "1", "99999999999999999999"),
        ("0.5", "9007199254740993", "string", "0.5", "9007199254740993"),
        ("0.5", "-1e-3", "double", 0.5, -0.001),
        ("1", "0x1F", "string", "1", "0x1F"),
        ("true", "False", "bool", True, False),
        ("true", "1", "string", "true", "1"),
        ("2024-01-02", "2024-11-30", "date32[day]", date(2024, 1, 2), date(2024, 11, 30)),
        ("2024-01-02", "2024-11-30 10:00:00", "timestamp[s]", datetime(2024, 1, 2), datetime(2024, 11, 30, 10)),
        ("2024-01-02T10:00:00", "9999-12-31", "timestamp[s]", datetime(2024, 1, 2, 10), datetime(9999, 12, 31)),
        ("2024-01-02 10:00:00.5", "2024-01-02", "timestamp[us]", datetime(2024, 1, 2, 10, 0, 0, 500_000), None),
        ("2024-01-02", "02/01/2024", "string", "2024-01-02", "02/01/2024"),
        ("10:00", "11:00", "string", "10:00", "11:00"),
        ("nan", "inf", "string", "nan", "inf"),
        ("", "", "null", None, None),
        (" 5 ", "6", "int64", 5, 6),
        (" a", "6", "string", " a", "6"),
    ],
)
@pytest.mark.usefixtures("small_blocks")
def test_types_are_those_of_the_whole_file(tmp_path, early, late, kind, first, last):
    lines = [f"{i},{i},{early}\n" for i in range(400)] + [f"400,400,{late}\n"]
    write(tmp_path, HEAD + "".join(lines))
    got = read(tmp_path)
    assert types_of(got) == {"user_id": "int64", "item_id": "int64", "x": kind}
    assert got.num_rows == 401
    assert got["x"][0].as_py() == first
    if last is not None:
        assert got["x"][400].as_py() == last


@pytest.mark.parametrize("sign", [";", "\t", "|", "^", " "])
def test_delimiters(tmp_path, sign):
    write(tmp_path, HEAD.replace(",", sign) + sign.join(["1", "2", f'"a{sign}b"']) + "\n")
    assert read(tmp_path, csv={"delimiter": sign}).to_pylist() == [{"user_id": 1, "item_id": 2, "x": f"a{sign}b"}]


def test_decimal_comma(tmp_path):
    write(tmp_path, "user_id;item_id;x;y\n1;2;3,25;1.234,5\n2;3;-,5;7\n")
    got = read(tmp_path, csv={"delimiter": ";", "decimal": ","})
    assert got["x"].to_pylist() == [3.25, -0.5]
    assert got["y"].to_pylist() == ["1.234,5", "7"]  # neither 1.2345 nor 1234.5 without a word


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig", "utf-16", "cp1252", "utf-16-le", "utf-32"])
def test_encodings(tmp_path, encoding):
    write(tmp_path, "user_id,item_id,größe\n1,2,Müller\n", encoding=encoding)
    assert read(tmp_path, csv={"encoding": encoding}).to_pylist() == [{"user_id": 1, "item_id": 2, "größe": "Müller"}]


@pytest.mark.parametrize(
    ("ending", "pack"),
    [
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".zst", lambda raw: pa.compress(raw, "zstd", asbytes=True)),
    ],
)
def test_compression_by_the_ending(tmp_path, ending, pack):
    write(tmp_path, pack(b"user_id,item_id\n1,2\n"), f"interactions.csv{ending}")
    assert read(tmp_path).to_pylist() == [{"user_id": 1, "item_id": 2}]


KINDS = {
    ".csv.gz": ("a gzip file", gzip.compress),
    ".csv.bz2": ("a bzip2 file", bz2.compress),
    ".csv.zst": ("a Zstandard file", lambda raw: pa.compress(raw, "zstd", asbytes=True)),
    ".csv": ("", bytes),
}


@pytest.mark.parametrize("content", KINDS)
@pytest.mark.parametrize("ending", [*KINDS, ".parquet"])
def test_a_wrong_ending_is_named(tmp_path, content, ending):
    what, pack = KINDS[content]
    write(tmp_path, pack(b"user_id,item_id\n1,2\n"), f"interactions{ending}")
    if content == ending:
        assert read(tmp_path).num_rows == 1
        return
    named = rf"is {what} by its content; give it the ending {content}" if what else "is not a .* file, which its ending"
    with pytest.raises(DataError, match=rf"interactions\{ending}: {named}"):
        read(tmp_path)


def test_other_kinds_of_files_are_named(tmp_path):
    for content, message in [
        (b"PK\x03\x04....", "is a ZIP archive or an Excel workbook by its content; take the table out"),
        ("user_id,item_id\n1,2\n".encode("utf-16"), "is UTF-16 text; set data.csv.encoding: utf-16"),
        (b"PAR1....PAR1", r"is a Parquet file by its content; give it the ending \.parquet"),
    ]:
        write(tmp_path, content)
        with pytest.raises(DataError, match=rf"interactions\.csv: {message}"):
            read(tmp_path)


QUOTED = st.text(alphabet='a",\n', min_size=1, max_size=6).filter(str.strip)


@pytest.mark.slow
@given(texts=st.lists(QUOTED, min_size=1, max_size=5), block=st.sampled_from([16, 64, 1 << 20]))
@settings(max_examples=150, deadline=None)
def test_escaped_quotes(texts, block):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        table = pa.table({"user_id": range(len(texts)), "x": texts}).to_pandas()
        options = {"doublequote": False, "escapechar": "\\", "index": False, "lineterminator": "\n"}
        table.to_csv(Path(folder) / "interactions.csv", quoting=csv.QUOTE_NONNUMERIC, **options)
        patch.setattr(csv_parts, "BLOCK", max(block, 64))
        try:  # whoever does not say how quotes are escaped gets the values, or an error, unless both ways are fine
            found = read(folder)["x"].to_pylist()
            with open(Path(folder) / "interactions.csv", newline="") as plain:
                rows = [[*row, None] for row in csv.reader(plain) if row]
                assert found == texts or found == [row[1] or None for row in rows[1:]]
        except DataError:
            assert any('"' in text for text in texts)
        assert read(folder, csv={"escape": "\\"})["x"].to_pylist() == texts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "latin-1", "shift_jis"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        (r"\N", None),
        (r'"\N"', None),
        (r'"a,\N,b"', "a,N,b"),
        ('"a\n\\N\nb"', "a\nN\nb"),
        (r"a\,\N", "a,N"),
        (r'"\\N"', r"\N"),
        (r"\\N", r"\N"),
        ('"N"', "N"),
        (r"a\"b", 'a"b'),
    ],
)
def test_escapes_in_every_encoding(tmp_path, encoding, field, value):
    write(tmp_path, f"{HEAD}0,1,x\n1,2,{field}\n3,4,{field}", encoding=encoding)
    assert read(tmp_path, csv={"escape": "\\", "encoding": encoding})["x"].to_pylist() == ["x", value, value]


ESCAPED = st.none() | st.text('aN,\n\\"表', min_size=1, max_size=6).filter(str.strip)


def mysql(value, escape, quoted):
    """A field as MySQL writes it."""
    text = "\\N" if value is None else value.replace("\\", "\\\\").replace('"', '\\"')
    if not quoted and value is not None and "\n" not in value:
        return text.replace(",", "\\,").replace("\\", escape)
    return (text if value is None and not quoted else f'"{text}"').replace("\\", escape)


@pytest.mark.slow
@given(
    values=st.lists(st.tuples(ESCAPED, ESCAPED, st.booleans(), st.booleans()), min_size=1, max_size=12),
    escape=st.sampled_from("\\^"),
    block=st.sampled_from([64, 96, 1 << 20]),
    ending=st.sampled_from(["", "\n"]),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-16-le", "shift_jis", "gb18030"]),
)
@example([("a,\\N,b", None, True, True), ("\\N", "N", True, False)], "\\", 1 << 20, "", "utf-16")
@settings(max_examples=100, deadline=None)
def test_missing_values_of_mysql(values, escape, block, ending, encoding):
    texts = [[None if text is None else text.replace("\\", escape) for text in row[:2]] for row in values]
    fields = [(mysql(row[0], escape, row[2]), mysql(row[1], escape, row[3])) for row in values]
    lines = [f"{row},{one},{other}" for row, (one, other) in enumerate(fields)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        write(Path(folder), "user_id,x,y\n" + "\n".join(lines) + ending, encoding=encoding)
        patch.setattr(csv_parts, "BLOCK", block)
        table = read(folder, csv={"escape": escape, "encoding": encoding}, types={"x": "text", "y": "text"})
        assert [[*row] for row in zip(table["x"].to_pylist(), table["y"].to_pylist(), strict=True)] == texts
        if all(row[0] is None for row in values):
            assert read(folder, csv={"escape": escape, "encoding": encoding})["x"].null_count == len(values)


def test_a_quote_inside_a_quoted_field_is_named(tmp_path):
    write(tmp_path, 'user_id,item_id\n1,"a"\n2,"5" pipe"\n')
    with pytest.raises(
        DataError, match=r"interactions\.csv, row 1 \(line 3\): a quote inside a quoted field; double it, or .*escape"
    ):
        read(tmp_path)
    write(tmp_path, 'user_id,item_id\n1,5" pipe\n2,"C:\\dir\\"\n')
    assert read(tmp_path)["item_id"].to_pylist() == ['5" pipe', "C:\\dir\\"]


def test_a_damaged_archive_is_named(tmp_path):
    write(tmp_path, gzip.compress(b"user_id,item_id\n" + b"1,2\n" * 9999)[:-30], "interactions.csv.gz")
    with pytest.raises(DataError, match=r"interactions\.csv\.gz: is damaged, or was not copied as a whole"):
        read(tmp_path)


def test_bom_crlf_empty_lines_and_quoted_line_breaks(tmp_path):
    write(tmp_path, b'\xef\xbb\xbfuser_id,item_id,x\r\n\r\n1,2,"a\r\nb ""c"""\r\n\r\n3,4,\r\n')
    assert read(tmp_path).to_pylist() == [
        {"user_id": 1, "item_id": 2, "x": 'a\r\nb "c"'},
        {"user_id": 3, "item_id": 4, "x": None},
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize(("rows", "values"), [("", []), ('1,"a\nb"\n', ["a\nb"]), ('1,"a"" b"', ['a" b'])])
def test_a_byte_order_mark_before_quotes(tmp_path, encoding, rows, values):
    write(tmp_path, f'\ufeff"user_id","item\nid"\n{rows}', encoding=encoding)
    got = read(tmp_path, csv={"encoding": encoding})
    assert got.column_names == ["user_id", "item\nid"] and got["item\nid"].to_pylist() == values


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n', "SEP=;\r", "\ufeffsep=;\n", "\ufeff\ufeffsep=;\n"])
def test_the_first_line_of_excel_says_the_delimiter(tmp_path, encoding, first):
    if encoding == "latin-1":
        first = first.replace("\ufeff", "")
    end = first.lstrip('\ufeff"sepSEP=;')
    write(tmp_path, first + end.join(["user_id;item_id;x", '1;2;"a,b"', "3;4;é"]) + end, encoding=encoding)
    got = read(tmp_path, csv={"encoding": encoding})
    assert got.to_pydict() == {"user_id": [1, 3], "item_id": [2, 4], "x": ["a,b", "é"]}
    write(tmp_path, first + end.join(["user_id;item_id;x", "1;2;3", "3;4;5;6", ""]), encoding=encoding)
    with pytest.raises(DataError, match=r"row 1 \(line 4\): 4 fields, the header has 3: '3;4;5;6'"):
        read(tmp_path, csv={"encoding": encoding})
    write(tmp_path, first + end.join(["user_id;item_id;x", "1;2;3", "3;4;b", ""]), encoding=encoding)
    with pytest.raises(DataError, match=r"interactions\.x, row 1( \(line 4\))?: 'b' is not"):
        read(tmp_path, csv={"encoding": encoding}, types={"x": "int"})


@pytest.mark.parametrize("marks", [1, 2, 3])
def test_byte_order_marks_are_no_part_of_a_name(tmp_path, marks):
    write(tmp_path, "\ufeff" * marks + "user_id,item_id\n1,2\n")
    assert read(tmp_path).to_pydict() == {"user_id": [1], "item_id": [2]}


@pytest.mark.parametrize(("ending", "other"), [(".csv", ".parquet"), (".parquet", ".csv"), (".parquet", ".csv.gz")])
def test_a_folder_is_of_the_kind_that_its_name_says(tmp_path, ending, other):
    folder = tmp_path / f"interactions{ending}"
    folder.mkdir()
    text = b"user_id,item_id\n1,2\n"
    if other == ".parquet":
        pq.write_table(pa.table({"user_id": [1], "item_id": [2]}), folder / f"part-0{other}")
    else:
        (folder / f"part-0{other}").write_bytes(gzip.compress(text) if other == ".csv.gz" else text)
    kind = other[: other.find(".", 1)] if other.count(".") > 1 else other
    with pytest.raises(
        DataError, match=rf"{ending}: holds part-0{other}; name the folder interactions{kind}, or inter"
    ):
        read(tmp_path)
    for name in (f"interactions{kind}", "interactions"):
        folder = folder.rename(tmp_path / name)
        assert read(tmp_path).to_pydict() == {"user_id": [1], "item_id": [2]}


def test_a_quote_within_a_field_is_text(tmp_path):
    write(tmp_path, 'user_id,item_id,x\n1,2,5" wide\n')
    assert read(tmp_path)["x"].to_pylist() == ['5" wide']


def test_without_quotes(tmp_path):
    write(tmp_path, 'user_id\titem_id\tx\n1\t2\t"5 inch\n3\t4\ta "b"\n')
    got = read(tmp_path, csv={"delimiter": "\t", "quote": None})
    assert got["x"].to_pylist() == ['"5 inch', 'a "b"']


def test_part_files_are_typed_together(tmp_path):
    (tmp_path / "interactions.csv").mkdir()
    write(tmp_path, "item_id,user_id\n1,1\n", "interactions.csv/a.csv")
    write(tmp_path, gzip.compress(b"user_id,item_id,x\n2,A1,3\n"), "interactions.csv/b.csv.gz")
    assert read(tmp_path).to_pylist() == [
        {"item_id": "1", "user_id": 1, "x": None},
        {"item_id": "A1", "user_id": 2, "x": 3},
    ]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("text", "007", "007"),
        ("int", "007", 7),
        ("int", "+7", 7),
        ("int", "7.0", 7),
        ("int", "NA", None),
        ("float", "007", 7.0),
        ("float", "1e3", 1000.0),
        ("bool", "yes", True),
        ("bool", "0", False),
        ("bool", "1.0", True),
        ("bool", "0.0", False),
        ("timestamp", "2024-01-02 10:00", datetime(2024, 1, 2, 10)),
        ("timestamp", "2024-01-02", datetime(2024, 1, 2)),
        ("timestamp", "2024-01-02T10:00:00+02:00", datetime(2024, 1, 2, 8)),
    ],
)
def test_forced_types(tmp_path, kind, text, value):
    write(tmp_path, f"{HEAD}1,1,{text}\n2,2,\n")
    got = [
        v.replace(tzinfo=None) if isinstance(v, datetime) else v
        for v in read(tmp_path, types={"x": kind})["x"].to_pylist()
    ]
    assert got == [value, None]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", "4.5"),
        ("int", "x"),
        ("int", "0x1F"),
        ("int", "9223372036854775808"),
        ("float", "1,5"),
        ("bool", "2"),
        ("timestamp", "17:00"),
    ],
)
@pytest.mark.usefixtures("small_blocks")
def test_a_value_that_is_not_of_the_forced_type(tmp_path, kind, value):
    good = {"int": "1", "float": "1", "bool": "no", "timestamp": "2024-01-02"}[kind]
    write(tmp_path, HEAD + f"1,1,{good}\n" * 300 + f'2,2,"{value}"\n' + "3,3,z\n" * 300)
    with pytest.raises(
        DataError, match=rf"interactions\.x, row 300 \(line 302\): '{value}' is not .*, which data\.types\.x asks for"
    ):
        read(tmp_path, types={"x": kind})


LINE_BITS = st.tuples(st.sampled_from(["x", '"x"', '"x\ny"', ""]), st.sampled_from(["", "", "\n"]))


@pytest.mark.slow
@given(st.lists(LINE_BITS, max_size=6), st.sampled_from(["\n", "\r\n"]), st.sampled_from([1 << 6, 1 << 20]))
def test_a_line_is_named_where_it_is_the_one_that_an_editor_shows(rows, end, block):
    before = HEAD + "".join(f"{row},1,1,{text}\n{empty}" for row, (text, empty) in enumerate(rows))
    text = before.replace("item_id,x", "item_id,x,y") + "9,9,wrong,\n1,1,1,"
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_parts, "BLOCK", block)
        write(Path(folder), text.replace("\n", end))
        with pytest.raises(DataError) as error:
            read(Path(folder), types={"x": "int"})
    line = text.splitlines().index("9,9,wrong,") + 1
    exact = not any(empty or "\n" in text for text, empty in rows)
    assert f"row {len(rows)}{f' (line {line})' if exact else ''}: 'wrong'" in str(error.value)


def test_lists_as_json(tmp_path):
    write(tmp_path, "user_id,item_id\n1,1\n")
    rows = ['1,"[""a"", ""b,c"", null]","[0.5, 1]","[1, 2]",[]', '2,,,"[3]",']
    write(tmp_path, "item_id,tags,vector,codes,none\n" + "\n".join(rows) + "\n", "items.csv")
    got = read(tmp_path, "items", separators=dict.fromkeys(["tags", "vector", "codes", "none"], "json"))
    assert got.to_pylist() == [
        {"item_id": 1, "tags": ["a", "b,c"], "vector": [0.5, 1.0], "codes": [1, 2], "none": []},
        {"item_id": 2, "tags": None, "vector": None, "codes": [3], "none": None},
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("['a']", "is no JSON"),
        ("a|b", "is no JSON"),
        ('{"a": 1}', "is no JSON list"),
        ("7", "is no JSON list"),
        ("[[1]]", "is no list of text or of numbers"),
        ('["a", 1]', "is no list of text or of numbers"),
        ("[true]", "is no list of text or of numbers"),
        (r'["\ud800"]', "holds half of a character"),
        ("[99999999999999999999]", "holds 9{20}, no whole number of 64 bits"),
        ("[" * 9999, "is no JSON"),
    ],
)
def test_no_json_list(tmp_path, text, why):
    write(tmp_path, "user_id,item_id\n1,1\n")
    write(tmp_path, f'item_id;tags\n1;["a"]\n2;{text}\n', "items.csv")
    write(tmp_path, "user_id;item_id\n1;1\n")
    with pytest.raises(DataError, match=rf"items\.tags, row 1 \(line 3\): .* {why}.*data\.separators\.tags: json"):
        read(tmp_path, separators={"tags": "json"}, csv={"delimiter": ";", "quote": None})


def test_json_numbers_beside_fractions_are_exact(tmp_path):
    write(tmp_path, "user_id;item_id\n1;1\n")
    write(tmp_path, f"item_id;codes\n1;[0.5]\n2;[{2**53}]\n3;[{-(2**53) - 1}]\n", "items.csv")
    message = r"items\.codes, row 2 \(line 4\): .* holds -9007199254740993, but floats.* up to 2\^53 .*\.codes: json"
    with pytest.raises(DataError, match=message):
        read(tmp_path, "items", separators={"codes": "json"}, csv={"delimiter": ";", "quote": None})


def test_a_list_column_of_single_numbers_is_a_list(tmp_path):
    write(tmp_path, "user_id,item_id\n1,1\n")
    write(tmp_path, "item_id,tags\n1,5\n2,07\n", "items.csv")
    assert read(tmp_path, "items", separators={"tags": "|"})["tags"].to_pylist() == [["5"], ["07"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", r"interactions\.csv: is empty, expected a header"),
        (b"\n\n", r"interactions\.csv: is empty, expected a header"),
        (b"\xef\xbb\xbf", r"interactions\.csv: is empty, expected a header"),
        (b"user_id;item_id\n1;2\n", r"a single column 'user_id;item_id'; if ';' separates .*data\.csv\.delimiter: ';'"),
        (b"user_id,item_id\n1,2\n3,4,5\n", r"\.csv, row 1 \(line 3\): 3 fields, the header has 2: '3,4,5'.*data\.csv"),
        (b"user_id,item_id\n1,2\n3\n", r"interactions\.csv, row 1 \(line 3\): 1 fields, the header has 2"),
        (b'\nuser_id,item_id\n\n1,"2\n"\n\n3\n', r"interactions\.csv, row 1 \(line 7\): 1 fields"),
        (b"user_id,item_id,item_id\n1,2,3\n", "two columns are named 'item_id'"),
        (
            b"user_id,item_id\n1,2\n3,M\xfcller\n",
            r"interactions\.item_id, row 1: b'M\\xfcller' is not utf-8; set data\.csv\.e",
        ),
        ("user_id,item_id\n1,2\n".encode("utf-16"), r"interactions\.csv: .*data\.csv\.encoding"),
        (b'user_id,item_id\n1,"2\n' + b"3,4\n" * 3000, r"interactions\.csv: .*data\.csv\.quote"),
        (b'user_id,item_id\n0,0\n1,"2\n3,4\n', r"\.csv, row 1 \(line 3\): a quote is never closed.*data\.csv\.quote"),
    ],
)
@pytest.mark.usefixtures("small_blocks")
def test_errors_name_the_place_and_the_key(tmp_path, text, message):
    write(tmp_path, text)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_bytes_that_the_encoding_does_not_know(tmp_path):
    write(tmp_path, "user_id,item_id\n1,ü\n")
    with pytest.raises(DataError, match=r"interactions\.csv: is not ascii .*data\.csv\.encoding"):
        read(tmp_path, csv={"encoding": "ascii"})


CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]) | st.sampled_from('\n",;|\t'), max_size=5)
NAMES = st.text(st.characters(codec="latin-1", categories=["L"]), min_size=1, max_size=4)


@st.composite
def text_tables(draw):
    """Rows of columns, each of one kind that a CSV can say."""
    rows = draw(st.integers(1, 6))
    kinds = [
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.dates(),
        st.booleans(),
        CELLS.map(lambda text: f"x{text}"),
    ]
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    return {
        name: draw(st.lists(st.none() | draw(st.sampled_from(kinds)), min_size=rows, max_size=rows)) for name in names
    }


@pytest.mark.slow
@given(
    text_tables(),
    st.sampled_from(",;|\t"),
    st.sampled_from(["utf-8", "utf-16", "latin-1"]),
    st.booleans(),
    st.booleans(),
)
def test_a_table_survives_csv(table, delimiter, encoding, everything_quoted, crlf):
    columns = {"user_id": [*range(len(next(iter(table.values()))))], **table}
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=delimiter,
        quoting=csv.QUOTE_ALL if everything_quoted else csv.QUOTE_MINIMAL,
        lineterminator="\r\n" if crlf else "\n",
    )
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow(["" if value is None else value for value in row])
    raw = text.getvalue().encode(encoding, "ignore")
    assume(raw.decode(encoding) == text.getvalue())
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "interactions.csv").write_bytes(raw)
        got = read(folder, csv={"delimiter": delimiter, "encoding": encoding})
    assert got.to_pydict() == columns


@pytest.mark.parametrize(
    "rows",
    [
        ['1,1,"abc', "1,2,x", '1,3,"abc', "1,4,x"],
        ['1,1,"say """hi""" now"', "1,2,x"],
        ['1,1,""Great""', "1,2,x"],
        ['1,1,"a"""b"""c"', "1,2,x"],
        ['1,1,"" x', "1,2,x"],
    ],
)
@pytest.mark.parametrize("block", [64, 1 << 20])
def test_a_quote_that_is_not_doubled_is_an_error_and_no_row_is_swallowed(tmp_path, rows, block, monkeypatch):
    monkeypatch.setattr(csv_parts, "BLOCK", block)
    write(tmp_path, HEAD + "9,9,filler\n" * 20 + "\n".join(rows) + "\n")
    with pytest.raises(
        DataError, match=r"row \d+ \(line \d+\): (a quote inside a quoted field|a quote is never closed|. fields)"
    ):
        read(tmp_path)


@pytest.mark.parametrize("quoted", [False, True])
def test_a_quote_behind_the_escape_sign_closes_nothing(tmp_path, quoted):
    other = '"x"' if quoted else "x"
    write(tmp_path, HEAD + '1,1,"C:\\"\n' + f"1,2,{other}\n" * 9)
    with pytest.raises(DataError, match="a quote is never closed|a quote inside a quoted field"):
        read(tmp_path, csv={"escape": "\\"})


@pytest.mark.slow
@given(texts=st.lists(st.text(alphabet='a",\n x', min_size=1, max_size=6).filter(str.strip), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_doubled_quotes_are_never_refused(texts):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        table = pa.table({"user_id": range(len(texts)), "x": texts}).to_pandas()
        table.to_csv(Path(folder) / "interactions.csv", index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        patch.setattr(csv_parts, "BLOCK", 64)
        assert read(folder)["x"].to_pylist() == texts


@pytest.mark.parametrize("far", [f"{day} 23:59:59.9999999" for day in ("9999-12-31", "2262-05-01", "1677-01-01")])
def test_years_that_nanoseconds_do_not_reach_do_not_wrap(tmp_path, far):
    write(tmp_path, HEAD + "1,1,2024-01-01 00:00:01\n" + f"1,2,{far}\n")
    assert read(tmp_path)["x"].to_pylist() == ["2024-01-01 00:00:01", far]
    write(tmp_path, HEAD + "1,1,2024-01-01 00:00:01.123456789\n")
    assert pa.types.is_timestamp(read(tmp_path)["x"].type)
