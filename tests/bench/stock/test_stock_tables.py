"""The tables of the stock graph's feature store: column types that its operators can read, or an error."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.bench.stock.tables import stock_tables, storable
from cascade.core.artifact import Artifact
from cascade.core.errors import ConfigError
from cascade.core.features import Feature, FeatureSchema

SCHEMA = FeatureSchema(
    (
        Feature("user_id", "user", "categorical", 9, raw=("user_id",)),
        Feature("city", "user", "categorical", 9, raw=("city",)),
        Feature("history", "user", "categorical", 9, 2, "item_id", ("history_ids",)),
        Feature("hour", "context", "continuous", raw=("hour",)),
        Feature("city_device", "context", "categorical", 9, raw=("city", "device")),
        Feature("item_id", "item", "categorical", 9, raw=("item_id",)),
        Feature("tags", "item", "categorical", 9, 2, raw=("tags",)),
    )
)
KINDS = {
    "users": {"user_id": "int", "city": "string", "name": "string"},
    "items": {"item_id": "int", "tags": "list_string", "title": "string"},
    "interactions": {"user_id": "int", "item_id": "int", "hour": "float", "device": "string"},
}
HISTORY = {"user_id": [3, 1, 2], "history_ids": [[11, 12, 13], [12], []], "rejected_ids": [[], [], [11]]}


@pytest.fixture
def artifacts(tmp_path: Path) -> dict[str, Artifact]:
    """Users 1 to 4, of whom 1 and 3 have a history; items 11 to 13; context hour and device."""
    data, etl, features = (tmp_path / name for name in ("data", "etl", "features"))
    for folder in (data / "interactions", etl, features):
        folder.mkdir(parents=True)
    (data / "tables.json").write_text(json.dumps({"columns": KINDS}))
    users = {"user_id": [1, 2, 3, 4], "city": ["a", "b", "b", "a"], "name": ["w", "x", "y", "z"]}
    pq.write_table(pa.table(users), data / "users.parquet")
    items = {"item_id": [11, 12, 13], "tags": [["x"], None, ["y", "x"]], "title": ["p", "q", "r"]}
    pq.write_table(pa.table(items), data / "items.parquet")
    pq.write_table(pa.table({"hour": [3.0, 4.0], "device": ["tv", "tv"]}), data / "interactions" / "part-0.parquet")
    pq.write_table(pa.table({"hour": [4.0, None], "device": ["pc", None]}), data / "interactions" / "part-1.parquet")
    SCHEMA.save(etl / "schema.json")
    pq.write_table(pa.table(HISTORY), features / "user_history.parquet")
    return {path.name: Artifact(path, path.name, "0", {}) for path in (data, etl, features)}


def test_users_have_their_history_and_the_same_context(artifacts):
    found = stock_tables(artifacts)
    assert found.users.rows.to_pylist() == [
        {"user_id": 1, "city": "a", "history_ids": [12], "device": "tv", "hour": 4.0},
        {"user_id": 3, "city": "b", "history_ids": [11, 12], "device": "tv", "hour": 4.0},
    ]
    assert found.context == {"device": "tv", "hour": 4.0}
    assert found.users.columns == ["city", "history_ids", "device", "hour"]


def test_items_have_the_raw_columns_of_their_features(artifacts):
    rows = stock_tables(artifacts).items.rows
    assert rows.to_pylist() == [
        {"item_id": 11, "tags": ["x"]}, {"item_id": 12, "tags": []}, {"item_id": 13, "tags": ["y", "x"]}
    ]  # fmt: skip
    assert rows.schema.field("item_id").type == pa.int32()


def test_time_gaps_are_refused(artifacts):
    gap = Feature("history_gap", "user", "categorical", 30, 2, raw=("history_times",))
    FeatureSchema((*SCHEMA, gap)).save(artifacts["etl"].path / "schema.json")
    with pytest.raises(ConfigError, match="history.gaps: merlin-systems has no operator that computes history_gap"):
        stock_tables(artifacts)


def test_ids_of_text_are_refused(artifacts):
    kinds = KINDS | {"interactions": KINDS["interactions"] | {"item_id": "string"}}
    (artifacts["data"].path / "tables.json").write_text(json.dumps({"columns": kinds}))
    with pytest.raises(ConfigError, match="item_id: merlin-systems takes whole numbers"):
        stock_tables(artifacts)


def test_integers_with_missing_values_become_floats():
    got = storable(pa.table({"item_id": [1, 2], "year": pa.array([1999, None], pa.int64())}), "items")
    assert got["year"].type == pa.float64()
    assert got["year"].to_pylist() == [1999.0, None]


def test_floats_may_have_missing_values():
    assert storable(pa.table({"item_id": [1, 2], "price": [0.5, None]}), "items")["price"].to_pylist() == [0.5, None]


def test_missing_text_is_refused():
    with pytest.raises(ConfigError, match=r"users\.city: 1 values are missing"):
        storable(pa.table({"user_id": [1, 2], "city": ["a", None]}), "users")


@pytest.mark.parametrize(("largest", "fine"), [(2**31 - 1, True), (2**31, False)])
def test_ids_must_fit_int32(largest, fine):
    table = pa.table({"item_id": [1, largest]})
    if fine:
        assert storable(table, "items").equals(table)
    else:
        with pytest.raises(ConfigError, match="items.item_id: QueryFaiss takes ids up to 2147483647"):
            storable(table, "items")


def test_vectors_are_refused(artifacts):
    FeatureSchema((*SCHEMA, Feature("image", "item", "vector", length=4, raw=("image",)))).save(
        artifacts["etl"].path / "schema.json"
    )
    with pytest.raises(ConfigError, match="items.image: the stock graph is not compared where items have vectors"):
        stock_tables(artifacts)
