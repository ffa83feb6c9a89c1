"""``data.columns``: names for all tables and for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.errors import ConfigError
from cascade.workflows.config import DataConfig
from cascade.workflows.sources import open_source
from cascade.workflows.sources.mapping import new_names

FILES = {"interactions.csv": "user_id,sku\n1,2\n", "items.csv": "sku,item_id\n2,1002\n"}


def opened(folder, columns, files):
    for name, text in files.items():
        (folder / name).write_text(text)
    return open_source(DataConfig(source="tables", path=str(folder), columns=columns))


def test_two_tables_with_a_column_id(tmp_path):
    files = {"interactions.csv": "user_id,item_id,id\n1,2,0\n", "items.csv": "id\n2\n", "users.csv": "id,age\n1,30\n"}
    source = opened(tmp_path, {"users": {"user_id": "id"}, "items": {"item_id": "id"}}, files)
    assert source.users.to_pylist() == [{"user_id": 1, "age": 30}]
    assert source.items.to_pylist() == [{"item_id": 2}]
    assert next(source.interactions()).to_pylist() == [{"user_id": 1, "item_id": 2, "id": 0}]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"user_id": "id", "item_id": "id"},
            r"data\.columns\.user_id: interactions has both 'id' and 'user_id'",
        ),
        (
            {"item_id": "id"},
            r"data\.columns\.item_id: interactions has both 'id' and 'item_id'.*\{interactions: \{item",
        ),
        ({"users": {"user_id": "idd"}}, r"data\.columns\.users\.user_id: users has no column 'idd', did you mean 'id'"),
        ({"user": "x"}, r"data\.columns\.user: no table has a column 'x'"),
        ({"age": "years", "idd": "x"}, r"other way round\? data\.columns: \{years: age\}$"),
        ({"users": {"id": "user", "age": "years"}}, r"round\? data\.columns: \{users: \{user: id, years: age\}\}$"),
        ({"item_id": "idd"}, r"data\.columns\.item_id: no table has a column 'idd', did you mean 'id'\?$"),
    ],
)
def test_a_mapping_that_does_not_say_which_column(tmp_path, columns, message):
    files = {"interactions.csv": "user_id,item_id,id\n1,2,0\n", "items.csv": "id\n2\n", "users.csv": "id,age\n1,30\n"}
    with pytest.raises(ConfigError, match=message):
        opened(tmp_path, columns, files)


def test_one_column_under_two_names(tmp_path):
    files = {"interactions.csv": "user_id,item_id\n1,2\n", "users.csv": "id,age\n1,30\n"}
    with pytest.raises(ConfigError, match=r"users\.id would be user_id and item_id; .*\{users: \{user_id: id\}\}"):
        opened(tmp_path, {"user_id": "id", "item_id": "id"}, files)


def test_a_mapping_for_a_table_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.columns\.users: there is no table users; found: interactions, items"):
        opened(tmp_path, {"users": {"user_id": "sku"}}, FILES)


def test_a_name_that_is_there_already(tmp_path, caplog):
    with pytest.raises(ConfigError, match=r"data\.columns\.item_id: items has both 'sku' and 'item_id'"):
        opened(tmp_path, {"item_id": "sku"}, FILES)
    source = opened(tmp_path, {"item_id": "sku", "items": {"item_id": "sku"}}, FILES)
    assert source.items.to_pylist() == [{"item_id": 2}]
    assert next(source.interactions()).to_pylist() == [{"user_id": 1, "item_id": 2}]
    assert "items.item_id: is left out" in caplog.text
    kept = opened(tmp_path, {"item_id": "sku", "items": {"item_id": "item_id"}}, FILES)
    assert kept.items.to_pylist() == [{"sku": 2, "item_id": 1002}]


def test_names_can_change_places():
    assert new_names({"a": "b", "b": "a"}, "items", ["a", "b", "c"]) == {"a": "b", "b": "a", "c": "c"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"items.item_id": "id"}, r"columns: expected items: \{item_id: id\}"),
        ({"item": {"item_id": "id"}}, r"columns\.item: expected the name of a column; only interactions, users, items"),
    ],
)
def test_other_forms_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        DataConfig(columns=columns)


NAMES = st.sampled_from("abcdef")


@given(st.lists(NAMES, unique=True, min_size=1), st.dictionaries(NAMES, NAMES), st.dictionaries(NAMES, NAMES))
def test_every_column_is_read_once_and_under_one_name(names, shared, own):
    own = {ours: theirs for ours, theirs in own.items() if theirs in names}
    try:
        found = new_names({**shared, "items": own}, "items", names)
    except ConfigError:
        return
    assert len(set(found.values())) == len(found)
    assert set(found.values()) <= set(names)
    assert own.items() <= found.items()
    lost = set(names) - set(found.values())
    assert lost <= set(own), "only a mapping for this table replaces a column"
