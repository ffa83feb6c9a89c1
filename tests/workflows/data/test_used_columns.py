"""Columns that nobody uses are neither read nor checked; those that the config names are looked for first."""

import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.core.errors import ConfigError, DataError
from cascade.workflows.config import DataConfig, SchemaConfig
from cascade.workflows.data.used import only_used, used_columns
from cascade.workflows.sources import Source

EVENTS = {
    "user_id": [1, 1, 1, 2, 2, 2],
    "item_id": [1, 2, 3, 1, 2, 3],
    "timestamp": [1, 2, 3, 1, 2, 3],
    "rating": [5, 4, 3, 2, 1, 0],
}
ITEMS = {"item_id": [1, 2, 3]}
IDS = {"sparse": ["user_id", "item_id"]}
LATE = [datetime.datetime(9999, 12, 31)] * 3


@pytest.mark.parametrize(
    "values",
    [
        pa.array(LATE, pa.timestamp("us")),
        pa.array(LATE).cast(pa.date32()),
        pa.array([1.0, 2.0, float("inf")]),
        pa.array([2**64 - 1, 0, 0], pa.uint64()),
        pa.array([b"\xff", None, b""]),
    ],
)
def test_values_out_of_range_in_columns_that_nobody_uses(run_data, values):
    data = run_data(
        IDS,
        {"interactions": {**EVENTS, "spare": pa.concat_arrays([values, values])}, "items": {**ITEMS, "end": values}},
    )
    assert pq.read_schema(data.path / "items.parquet").names == ["item_id"]
    names = pq.read_schema(next(data.path.glob("interactions/*.parquet"))).names
    assert sorted(names) == ["item_id", "positive", "split", "timestamp", "user_id"]


def test_what_the_config_names_is_read(run_data):
    tables = {
        "interactions": {**EVENTS, "seen": [0, 1] * 3, "part": ["train"] * 4 + ["valid", "test"], "spare": [1] * 6},
        "items": {**ITEMS, "name": ["a", "b", "c"], "title": ["x", "y", "z"], "price": [1, 2, 3], "color": ["r"] * 3},
    }
    schema = {**IDS, "dense": ["price"]}
    split = {"by": "column", "column": "part"}
    data = run_data(schema, tables, positive="rating > 1", labels=["seen"], split=split, title="name", keep=["color"])
    columns = json.loads((data.path / "tables.json").read_text())["columns"]
    assert sorted(columns["items"]) == ["color", "item_id", "name", "price"]
    assert {"rating", "seen", "part", "timestamp"} <= set(columns["interactions"])
    assert "spare" not in columns["interactions"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positive": "ratin > 1"}, r"data\.positive: interactions has no column 'ratin', did you mean 'rating'"),
        ({"label": "ratin > 1"}, r"data\.label: interactions has no column 'ratin', did you mean 'rating'"),
        ({"title": "nam"}, r"data\.title: items has no column 'nam', did you mean 'name'"),
        ({"keep": ["colour"]}, r"data\.keep.*: 'colour' is in no table, did you mean 'color'"),
    ],
)
def test_names_are_compared_with_all_columns(run_data, options, message):
    tables = {"interactions": EVENTS, "items": {**ITEMS, "name": ["a", "b", "c"], "color": ["r"] * 3}}
    with pytest.raises(ConfigError, match=message):
        run_data(IDS, tables, **options)


@pytest.mark.parametrize("role", ["sparse", "dense", "text", "vectors"])
def test_a_feature_that_no_table_has(run_data, role):
    schema = {**IDS, role: [*IDS.get(role, []), "colour"]}
    with pytest.raises(
        ConfigError, match=rf"schema\.{role}: 'colour' is in no table, did you mean 'color'\? \(interac"
    ):
        run_data(schema, {"interactions": EVENTS, "items": {**ITEMS, "color": ["r"] * 3}})


def test_a_missing_id_is_named_with_what_the_table_has(run_data):
    with pytest.raises(DataError, match=r"items\.item_id: missing column.*price"):
        run_data(IDS, {"interactions": EVENTS, "items": {"price": [1]}})


@pytest.mark.parametrize("table", ["items", "interactions"])
@pytest.mark.parametrize("key", ["sparse", "dense"])
@pytest.mark.parametrize("kind", [pa.null(), pa.string(), pa.float64(), pa.list_(pa.string())])
def test_a_feature_without_any_value(run_data, table, key, kind):
    tables = {"interactions": EVENTS, "items": ITEMS}
    size = len(next(iter(tables[table].values())))
    tables[table] = {**tables[table], "color": pa.nulls(size, kind)}
    schema = {**IDS, key: [*IDS.get(key, []), "color"]}
    with pytest.raises(
        DataError, match=rf"^{table}\.color: has no value in any row; take it out of schema\.{key} until"
    ):
        run_data(schema, tables)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1", "abc", "2"], r"items\.price, item_id 2: 'abc' is not a number.*data\.csv\.decimal.*schema\.sparse"),
        (["1,5", "2", None], r"items\.price, item_id 1: '1,5' is not a number"),
        (["1", "007", None], r"items\.price: the numbers are text; data\.types: \{price: float\}"),
    ],
)
def test_text_where_numbers_are_needed(run_data, values, message):
    with pytest.raises(DataError, match=message):
        run_data({**IDS, "dense": ["price"]}, {"interactions": EVENTS, "items": {**ITEMS, "price": values}})


def test_with_a_decimal_comma_the_number_with_a_point_is_named(run_data, tmp_path):
    rows = enumerate(["1,5", "2", "-0,25", "3.5"])
    (tmp_path / "interactions.csv").write_text("user_id;item_id;x\n" + "".join(f"1;{n};{x}\n" for n, x in rows))
    with pytest.raises(DataError, match=r"interactions\.x, row 3 \(line 5\): '3\.5' is not a .*data\.csv\.decimal ','"):
        run_data({**IDS, "dense": ["x"]}, source="tables", path=str(tmp_path), csv={"delimiter": ";", "decimal": ","})


def test_text_where_numbers_are_needed_in_interactions(run_data):
    tables = {"interactions": {**EVENTS, "time": ["1", "2", None, "x", "y", "5"]}}
    with pytest.raises(DataError, match=r"interactions\.time, row 3: 'x' is not a number"):
        run_data({**IDS, "dense": ["time"]}, tables)


def test_a_source_of_another_kind_is_cut_as_well():
    config, schema = DataConfig(), SchemaConfig(**IDS)
    items = pa.table({**ITEMS, "spare": [1, 2, 3]})
    source = only_used(Source(lambda: iter([pa.table(EVENTS)] * 2), 12, items=items), used_columns(config, schema))
    assert source.items.column_names == ["item_id"]
    assert "interactions" not in source.columns
    assert [chunk.column_names for chunk in source.interactions()] == [["user_id", "item_id", "timestamp"]] * 2
    assert source.columns["interactions"] == tuple(EVENTS)
