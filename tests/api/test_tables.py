"""DataFrames as the source of a pipeline."""

import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cascade
from cascade.api.frames import to_arrow
from cascade.api.tables import with_tables, write_tables
from cascade.errors import ConfigError, DataError
from cascade.workflows.sources.types import forced_reader_of

RATINGS = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"], "rating": [5.0, None, 3.0]}, index=[7, 8, 9])
CONFIG = cascade.load_config(overrides={"schema.sparse": ["user_id", "item_id"], "data.positive": "rating > 3"})


def test_tables_are_parquet_in_a_folder_of_their_content(tmp_path):
    folder = write_tables(
        {"interactions": RATINGS, "items": pa.table({"item_id": ["a", "b"]})}, tmp_path / "tables", CONFIG
    )
    assert folder.parent == tmp_path / "tables" and len(folder.name) == 12
    assert sorted(file.name for file in folder.iterdir()) == ["interactions.parquet", "items.parquet"]
    written = pq.read_table(folder / "interactions.parquet")
    assert written.column_names == ["user_id", "item_id", "rating"]
    pd.testing.assert_frame_equal(written.to_pandas(), RATINGS.reset_index(drop=True))
    assert list((tmp_path / "tables").iterdir()) == [folder]


def test_the_same_content_is_the_same_folder(tmp_path):
    first = write_tables({"interactions": RATINGS}, tmp_path, CONFIG)
    assert write_tables({"interactions": RATINGS.copy()}, tmp_path, CONFIG) == first
    assert (
        write_tables({"interactions": pa.Table.from_pandas(RATINGS, preserve_index=False)}, tmp_path, CONFIG) == first
    )
    assert write_tables({"interactions": RATINGS.assign(rating=1.0)}, tmp_path, CONFIG) != first


def test_files_stay_as_they_are(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id\n1,a\n")
    folder = write_tables({"interactions": tmp_path / "log.csv"}, tmp_path / "tables", CONFIG)
    (tmp_path / "log.csv").write_text("changed")
    assert (folder / "interactions.csv").read_text() == "user_id,item_id\n1,a\n"


def test_the_config_reads_them(tmp_path):
    config = cascade.load_config(overrides={"schema.sparse": ["user_id", "item_id"], "data.positive": "rating > 3"})
    changed = with_tables(config, {"interactions": RATINGS}, tmp_path)
    assert (changed.data.source, changed.data.positive) == ("tables", "rating > 3")
    assert pq.read_table(f"{changed.data.path}/interactions.parquet").num_rows == 3
    artifacts = cascade.run(config, tmp_path, tables={"interactions": RATINGS}, only="data")
    assert list(artifacts) == ["data"] and artifacts["data"].metrics["n_interactions"] == 3
    again = cascade.run(config, tmp_path, tables={"interactions": RATINGS}, only=["data"])
    assert again["data"].path == artifacts["data"].path


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"users": RATINGS}, "tables: expected interactions and, optionally, users and items; interactions is missing"),
        ({"interactions": RATINGS, "films": RATINGS}, "tables: .*; unknown films"),
        ({"interactions": 3}, "interactions: expected a DataFrame, an Arrow table or the path .* got a int"),
        ({"interactions": "nowhere.csv"}, "interactions: nowhere.csv does not exist"),
        (
            {"interactions": pd.DataFrame({"user_id": [1, "b"]})},
            r"interactions.user_id, row 1: 'b' \(str\) does not go",
        ),
    ],
)
def test_what_is_no_table_is_named(tables, message, tmp_path):
    with pytest.raises(DataError, match=message):
        write_tables(tables, tmp_path, CONFIG)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


MIXED = [1, 2.5, "A", None, True, float("nan"), 5.0, 2**70]


def run_mixed(tmp_path, table, **data):
    """The column ``coupon`` of the data artifact, from a table with it as a feature."""
    schema = {"sparse": ["user_id", "item_id", "coupon"]}
    config = cascade.load_config(overrides={"schema": schema, "data": data})
    data = cascade.run(config, tmp_path, tables={"interactions": table}, only="data")["data"].path
    rows = pq.read_table(data / "interactions", columns=["user_id", "coupon"]).sort_by("user_id")
    return rows["coupon"].to_pylist()


LOG = {"user_id": [*range(8)], "item_id": [1, 2] * 4, "coupon": MIXED}


@pytest.mark.parametrize("kind", [dict, pd.DataFrame])
def test_values_of_several_types_are_named_with_their_row(tmp_path, kind):
    with pytest.raises(
        DataError, match=r"interactions.coupon, row 2: 'A' \(str\) .* as 1; .*: {coupon: text} \(or int"
    ):
        run_mixed(tmp_path, kind(LOG))


@pytest.mark.parametrize("before", [[], [1], ["A", None]])
def test_a_number_beyond_64_bits_is_named_with_its_row(before):
    where = rf"interactions\.user_id, row {len(before)}: {2**70} \(int\) cannot be kept .*no whole number of 64 bits"
    with pytest.raises(DataError, match=where + r".* set data.types: {user_id: text}"):
        to_arrow({"user_id": [*before, 2**70]}, "interactions", {"user_id": "user_id"})


@pytest.mark.parametrize("kind", [dict, pd.DataFrame])
def test_types_read_values_of_several_types(tmp_path, kind):
    found = run_mixed(tmp_path, kind(LOG), types={"coupon": "text"})
    assert found == ["1", "2.5", "A", None, "true", None, "5", str(2**70)]
    renamed = {"voucher" if name == "coupon" else name: values for name, values in LOG.items()}
    assert found == run_mixed(tmp_path, kind(renamed), types={"coupon": "text"}, columns={"coupon": "voucher"})


@pytest.mark.parametrize("values", [MIXED, [1j] * 8, [{}] * 8, [object()] * 8])
def test_columns_that_nobody_uses_are_not_converted(tmp_path, values):
    table = pd.DataFrame({**LOG, "rating": [5] * 8, "coupon": pd.Series(values, dtype=object)})
    artifact = cascade.run(CONFIG, tmp_path, tables={"interactions": table}, only="data")["data"]
    assert artifact.metrics["n_interactions"] == 8
    with pytest.raises(ConfigError, match="schema.sparse: 'copon' is in no table, did you mean 'coupon'"):
        cascade.run(
            cascade.load_config(overrides={"schema.sparse": ["user_id", "item_id", "copon"]}),
            tmp_path,
            tables={"interactions": table},
            only="data",
        )


def test_another_process_may_write_the_same_tables_first(tmp_path, monkeypatch):
    first = write_tables({"interactions": RATINGS}, tmp_path, CONFIG)
    monkeypatch.setattr(Path, "exists", lambda path: False)  # as just before the other process renames its folder
    assert write_tables({"interactions": RATINGS}, tmp_path, CONFIG) == first
    assert list(tmp_path.iterdir()) == [first]


def test_other_errors_of_a_rename_are_raised(tmp_path, monkeypatch):
    def full(path, target):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="full"):
        write_tables({"interactions": RATINGS}, tmp_path, CONFIG)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": "ok.yaml"}, "config: expected a PipelineConfig; use cascade.load_config, got 'ok.yaml'"),
        ({"runs": None}, "runs: expected the path of a folder, got None"),
        ({"only": []}, "only: expected the name of a stage or a list of names, got an empty list"),
        ({"only": 3}, "only: expected the name of a stage or a list of names, got 3"),
        ({"only": ["data", 3]}, "only: expected the name of a stage or a list of names, got 3"),
        ({"tables": [RATINGS]}, "tables: expected a mapping with interactions"),
    ],
)
def test_wrong_arguments_of_a_run_are_named(arguments, message, tmp_path):
    config = cascade.load_config(overrides={"schema.sparse": ["user_id", "item_id"]})
    with pytest.raises(ConfigError, match=message):
        cascade.run(**{"config": config, "runs": tmp_path, **arguments})


@pytest.mark.parametrize(
    "table",
    [
        RATINGS["user_id"],
        RATINGS.assign(rating=1j),
        RATINGS.assign(rating=[{}, {}, {}]),
        RATINGS.astype({"user_id": pd.SparseDtype("int64")}),
        {"user_id": 1, "item_id": 2},
        "gone.csv",
        "gone.parquet",
    ],
    ids=["series", "complex", "empty dicts", "sparse", "single values", "no csv", "no parquet"],
)
def test_what_cannot_be_kept_is_named(tmp_path, table):
    with pytest.raises(DataError, match="interactions[:.]"):
        write_tables({"interactions": table}, tmp_path, CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_names_of_tables_that_are_no_text(tmp_path):
    with pytest.raises(DataError, match="users and items; unknown 1"):
        write_tables({1: RATINGS}, tmp_path, CONFIG)


@pytest.mark.parametrize("given", [{"report": 3}, {"runs": "a file"}, {"runs": "a file/below"}, {"runs": "\0"}])
def test_arguments_that_cannot_be_used_are_named(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    Path("a file").touch()
    config = cascade.load_config(overrides={"schema.sparse": ["user_id", "item_id"]})
    with pytest.raises(ConfigError, match=f"{next(iter(given))}: "):
        cascade.run(config, only="data", **given)


@pytest.mark.parametrize("as_arrow", [False, True])
def test_two_columns_of_one_name_are_refused_if_they_are_used(tmp_path, as_arrow):
    def table(*names):
        made = pa.table([pa.array([1, 2])] * len(names), names=list(names))
        return made if as_arrow else made.to_pandas()

    with pytest.raises(DataError, match="interactions: two columns are named 'item_id'"):
        write_tables({"interactions": table("user_id", "item_id", "item_id")}, tmp_path, CONFIG)
    assert write_tables({"interactions": table("user_id", "item_id", "x", "x")}, tmp_path, CONFIG).is_dir()


@pytest.mark.parametrize("bad", [b"\xff", [1], {"a": 1}, {1}, np.arange(2), "\ud800", object(), 1j])
@pytest.mark.parametrize("forced", ["text", "int"])
def test_values_without_a_text_are_named_with_row_and_key(tmp_path, bad, forced):
    table = pd.DataFrame({**LOG, "coupon": pd.Series([*MIXED[:7], bad], dtype=object)})
    with pytest.raises(DataError, match=r"^interactions\.coupon, row 7: .* is not text, which data\.types\.coupon"):
        run_mixed(tmp_path, table, types={"coupon": forced})


TEXTS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.floats(),
    st.floats(width=32).map(np.float32),
    st.text(max_size=3),
    st.text(max_size=3).map(str.encode),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-99, max_value=99),
    st.dates(),
    st.none(),
)


@given(TEXTS)
def test_a_value_has_the_same_text_among_others_as_in_a_column_of_its_kind(value):
    mixed = to_arrow({"x": [value, "x", 2.5, 2**70]}, "items", {"x": "x"}, ["x"])["x"]
    try:
        alone = pa.array([value], pa.float32() if isinstance(value, np.floating) else None)
    except OverflowError:  # a whole number that no column of Arrow holds
        alone = pa.array([str(value)])
    assert mixed[0].as_py() == forced_reader_of("text", ".")(alone)[0].as_py()
