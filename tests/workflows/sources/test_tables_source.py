"""The source ``tables``: Parquet or CSV, other column names, lists as text."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.core.errors import ConfigError, DataError
from cascade.workflows.config import DataConfig
from cascade.workflows.sources import open_source
from cascade.workflows.tables.canonical import canonical


def config(folder, **options):
    return DataConfig(source="tables", path=str(folder), **options)


def whole(source):
    return pa.concat_tables(source.interactions())


def test_csv_with_other_names_and_lists(tmp_path):
    (tmp_path / "interactions.csv").write_text("userId,movieId,rating\nu1,7,4.5\nu2,8,\n")
    (tmp_path / "items.csv").write_text("movieId,genres\n7,Action| Comedy|\n8,\n")
    names = {"user_id": "userId", "item_id": "movieId"}
    source = open_source(config(tmp_path, columns=names, separators={"genres": "|"}))
    assert whole(source).to_pydict() == {"user_id": ["u1", "u2"], "item_id": [7, 8], "rating": [4.5, None]}
    assert source.items.to_pydict() == {"item_id": [7, 8], "genres": [["Action", "Comedy"], []]}
    assert source.users is None


def test_a_folder_of_parquet_files_in_order_of_their_names(tmp_path):
    (tmp_path / "interactions.parquet").mkdir()
    for name, user in (("b", 2), ("a", 1)):
        pq.write_table(
            pa.table({"user_id": [user], "item_id": [1]}), tmp_path / "interactions.parquet" / f"{name}.parquet"
        )
    source = open_source(config(tmp_path))
    assert (source.rows, whole(source)["user_id"].to_pylist()) == (2, [1, 2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"user_id": "userid"}}, "data.columns.user_id: no table has a column 'userid', did you"),
        ({"separators": {"genre": "|"}}, r"data.separators.genre: no table has such a column"),
    ],
)  # fmt: skip
def test_mappings_are_checked(tmp_path, options, message):
    (tmp_path / "interactions.csv").write_text("user_id,item_id\n1,2\n")
    with pytest.raises(ConfigError, match=message):
        open_source(config(tmp_path, **options))


def test_missing_folders_and_files_are_errors(tmp_path):
    with pytest.raises(ConfigError, match="data.path: source tables needs a folder"):
        open_source(DataConfig(source="tables"))
    with pytest.raises(ConfigError, match="is not a folder"):
        open_source(config(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="no interactions.parquet and no interactions.csv"):
        open_source(config(tmp_path))


def test_a_file_that_is_no_parquet(tmp_path):
    (tmp_path / "interactions.parquet").write_text("user_id,item_id\n")
    with pytest.raises(DataError, match="interactions.parquet: is not a Parquet file, which"):
        open_source(config(tmp_path))


@pytest.mark.parametrize("kind", ["int8", "uint16", "int32", "uint64", "string", "large_string", "dictionary"])
def test_ids_of_any_type(kind):
    text = kind not in ("int8", "uint16", "int32", "uint64")
    arrow = pa.dictionary(pa.int8(), pa.string()) if kind == "dictionary" else getattr(pa, kind)()
    got = canonical(pa.table({"user_id": pa.array(["7", "8"] if text else [7, 8]).cast(arrow)}), "users")
    assert got["user_id"].type == (pa.string() if text else pa.int64())
    assert got["user_id"].to_pylist() == (["7", "8"] if text else [7, 8])


def test_an_id_beyond_64_bits_is_named():
    table = pa.table({"user_id": pa.array([2**64 - 1], pa.uint64())})
    with pytest.raises(DataError, match="users.user_id, row 0: 18446744073709551615 is out of range"):
        canonical(table, "users")


def test_canonical_types():
    frame = pd.DataFrame(
        {
            "flag": [True, False],
            "day": pd.to_datetime(["1970-01-02", "1970-01-01T00:00:01"]),
            "ratio": np.array([np.nan, 2.5], np.float32),
            "tags": [["a", None, "b"], None],
            "nothing": [None, None],
        }
    )
    got = canonical(pa.Table.from_pandas(frame), "items")
    assert got.to_pydict() == {
        "flag": [1, 0],
        "day": [86_400, 1],
        "ratio": [None, 2.5],
        "tags": [["a", "b"], []],
    }
