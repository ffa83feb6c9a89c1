"""Wrong tables are refused with a message that names table, column and row."""

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade.core.errors import ConfigError, DataError
from cascade.workflows.config import DataConfig, SplitConfig
from cascade.workflows.data.ingest import ingest
from cascade.workflows.data.spool import Spool
from cascade.workflows.data.stage import _title
from cascade.workflows.sources import Source

GOOD = {"user_id": [1, 2, 1, 2], "item_id": ["a", "b", "b", "a"], "timestamp": [4, 3, 2, 1]}
NONE = pa.array([], pa.int64())


@pytest.fixture
def tables_of(tmp_path):
    """Ingests interactions (a dict, or one for each chunk), users and items; returns the result of `ingest`."""

    def run(interactions, users=None, items=None, **options):
        chunks = [pa.table(chunk) for chunk in (interactions if isinstance(interactions, list) else [interactions])]
        tables = {name: pa.table(t) for name, t in {"users": users, "items": items}.items() if t is not None}
        source = Source(lambda: iter(chunks), sum(map(len, chunks)), **tables)
        return ingest(source, Spool(tmp_path / "spool.parquet"), DataConfig(**options), dense=["cost"])

    return run


def test_good_tables_pass(tables_of):
    entities, ingested = tables_of(GOOD, users={"user_id": [2, 1]}, items={"item_id": ["b", "a"], "price": [1, 2]})
    assert entities["users"].to_pydict() == {"user_id": [1, 2]}
    assert entities["items"].to_pydict() == {"item_id": ["a", "b"], "price": [2, 1]}
    assert ingested.has_timestamp


def test_missing_tables_are_made_from_interactions(tables_of):
    entities, ingested = tables_of({"user_id": [9, 3, 9], "item_id": ["b", "a", "b"]})
    assert entities["users"].to_pydict() == {"user_id": [3, 9]}
    assert entities["items"].to_pydict() == {"item_id": ["a", "b"]}
    assert not ingested.has_timestamp


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"interactions": {"user_id": [1], "itemid": [1]}}, "interactions.item_id: missing column, did you mean"),
        ({"users": {"age": [1]}}, "users.user_id: missing column; the table has age; if "),
        ({"interactions": {**GOOD, "user_id": [1.5] * 4}}, "interactions.user_id, row 0: 1.5 has a fraction"),
        ({"users": {"user_id": ["1"]}}, "interactions.user_id: wrong type int64, users.user_id is string"),
        ({"interactions": {**GOOD, "timestamp": ["x"] * 4}}, "interactions.timestamp, row 0: 'x' is no time"),
        ({"interactions": {**GOOD, "timestamp": [1, 2, None, 3]}}, "interactions.timestamp, row 2: missing; fill it"),
        ({"interactions": {**GOOD, "item_id": ["a", None, "b", "a"]}}, "item_id, row 1: missing id .*; fill it"),
        ({"items": {"item_id": ["a", "b", None]}}, "items.item_id, row 2: missing id"),
        ({"interactions": {**GOOD, "item_id": ["a", "", "b", "a"]}}, r"interactions.item_id, row 1: missing id \(''"),
        ({"items": {"item_id": ["a", "b", "\t "]}}, r"items.item_id, row 2: missing id \('\\t ' is blank"),
        ({"users": {"user_id": [1.0, None, 2.0]}}, "users.user_id, row 1: missing id"),
        ({"users": {"user_id": [1.0, 2.0**53, 2.0]}}, r"users.user_id, row 1: 9.*\.0 is too large .* integer"),
        ({"users": {"user_id": [1.0, float("inf")]}}, "users.user_id, row 1: inf is too large"),
        ({"interactions": {**GOOD, "item_id": ["a", "a\0", "b", "a"]}}, r"item_id, row 1: 'a\\x00' holds .* NUL"),
        ({"items": {"item_id": ["a", "b"], "tags": [["x"], ["y", "a\0b"]]}}, r"items.tags, row 1: 'a\\x00b' holds"),
        ({"interactions": {**GOOD, "item_id": ["a"] * 4}}, "items: 'a' is the only item, expected a catalogue of at"),
        ({"interactions": {**GOOD, "label": ["0", "1"] * 2}}, r"label: wrong .*; data.types: {label: bool} reads yes"),
        ({"items": {"item_id": ["a", "b", "é" * 513]}}, "items.item_id, row 2: an id of 513 characters, 'é{20}'"),
        ({"interactions": {**GOOD, "item_id": ["a", "b" * 9999, "b", "a"]}}, "interactions.item_id, row 1: an id of 9"),
        ({"users": {"user_id": [1, 2, 3, 2]}}, "users.user_id, row 3: duplicate id 2, first in row 1; keep one"),
        ({"items": {"item_id": ["a", "b", "b"]}}, "items.item_id, row 2: duplicate id 'b', first in row 1"),
        ({"interactions": {**GOOD, "item_id": ["a", "nan", "b", "a"]}}, r"item_id, row 1: missing id \('nan' .*name$"),
        ({"items": {"item_id": ["a", "b", "<NA>"]}}, r"items.item_id, row 2: missing id \('<NA>' is .*; fill it"),
        ({"items": {"item_id": ["a"]}}, "interactions.item_id, row 1: 'b' is not in items.item_id"),
        ({"users": {"user_id": [1, 3]}}, "interactions.user_id, row 1: 2 is not in users.user_id"),
        ({"interactions": {"user_id": NONE, "item_id": NONE}}, "interactions: the table is empty"),
        ({"items": {"item_id": NONE}}, "items: the table is empty"),
        ({"interactions": {**GOOD, "label": [1, 1, 1, 1]}}, "interactions.label, rows 0 to 3: all are 1"),
        ({"interactions": {**GOOD, "label": [0, 1, 2, 1]}}, "interactions.label, row 2: 2, expected 0 or 1; for a"),
        ({"interactions": {**GOOD, "label": ["y", "n", "y", "n"]}}, "interactions.label: wrong type string"),
        ({"items": {"item_id": ["a", "b"], "price": [1.0, float("inf")]}}, "items.price, row 1: infinite"),
        ({"items": {"item_id": ["b", "a"], "cost": [1.0, 1e308]}}, r"items.cost, row 1: 1e\+308 is too large for s"),
        ({"users": {"user_id": [2, 1], "cost": [-3.4e38, None]}}, r"users.cost, row 0: -3.4e\+38 is too large"),
        ({"interactions": {**GOOD, "cost": [1, 2, 3e30, 4]}}, r"interactions.cost, row 2: 3e\+30 is .* at most 1e\+30"),
        ({"interactions": {**GOOD, "positive": [1, 0, 1, 0]}}, "interactions.positive: we add a column of that name"),
    ],
)  # fmt: skip
def test_refuses(tables_of, tables, message):
    with pytest.raises(DataError, match=message):
        tables_of(**{"interactions": GOOD, **tables})


@given(
    ids=st.lists(st.integers(-(2**53) + 1, 2**53 - 1), min_size=2, max_size=8, unique=True),
    float_users=st.booleans(),
    float_rows=st.booleans(),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whole_floats_are_ids_like_integers(tables_of, ids, float_users, float_rows):
    rows = [float(i) for i in ids] if float_rows else ids
    users = {"user_id": [float(i) for i in ids] if float_users else ids}
    entities, _ = tables_of({"user_id": rows, "item_id": rows}, users=users)
    for name, key in (("users", "user_id"), ("items", "item_id")):
        assert entities[name][key].to_pylist() == sorted(ids)
        assert entities[name][key].type == pa.int64()


def test_the_largest_numbers_pass(tables_of):
    entities, _ = tables_of(GOOD, items={"item_id": ["a", "b"], "cost": [-1e30, 1e30], "other": [1e308, 0.5]})
    assert entities["items"]["cost"].to_pylist() == [-1e30, 1e30]


def test_rows_are_counted_over_chunks(tables_of):
    with pytest.raises(DataError, match="interactions.item_id, row 5: missing id"):
        tables_of([GOOD, {**GOOD, "item_id": ["a", None, "b", "a"]}])


def test_chunks_have_the_same_columns(tables_of):
    with pytest.raises(DataError, match="interactions, rows from 4: other columns than before"):
        tables_of([{**GOOD, "rating": [1, 2, 3, 4]}, GOOD])


def test_no_positive_at_all(tables_of):
    with pytest.raises(DataError, match=r"no row is positive \(timestamp > 9\), rows 0 to 3"):
        tables_of(GOOD, positive="timestamp > 9")


def test_given_split_needs_its_column(tables_of):
    with pytest.raises(DataError, match="interactions.part: missing column"):
        tables_of(GOOD, split=SplitConfig(by="column", column="part"))


def test_title_names_the_nearest_column():
    with pytest.raises(ConfigError, match=r"data.title: items has no column 'nam', did you mean 'name'\?"):
        _title(DataConfig(title="nam"), {"item_id": "int", "name": "string"})
