"""Names that features may have, and what is said of the others."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.core.errors import ConfigError
from cascade.workflows.config import SchemaConfig
from cascade.workflows.tables.names import BATCH, RESERVED, check_names, is_legal, problem, suggested, way_out
from cascade.workflows.tables.raw_features import raw_features


def schema(sparse=(), **more):
    return SchemaConfig(sparse=["user_id", "item_id", *sparse], **more)


@pytest.mark.parametrize(
    "name", ["Sub Category", "Größe", "geo.country", "sub-category", "日本", "श्रेणी", "1st", "_x", "T"]
)
def test_any_word_is_a_name(name):
    assert is_legal(name) and problem(name) is None


@pytest.mark.parametrize(
    "name", ["price/unit", "", " x", "x ", ".", "..", ".x", "a\nb", "a\0b", "a:b", "a,b", "-x", "x" * 101]
)
def test_what_cannot_be_a_file_or_a_column_is_no_name(name):
    assert not is_legal(name)
    with pytest.raises(ConfigError, match="schema.sparse: .*cannot be the name of a feature, expected letters"):
        check_names(schema([name]))


@pytest.mark.parametrize(
    ("name", "new"),
    [
        ("price/unit", "price_unit"),
        ("Größe/Maß", "groesse_mass"),
        ("Café?", "cafe"),
        ("???", "column"),
        ("1/2", "column_1_2"),
        ("query", "query_value"),
        ("release", "release_value"),
    ],
)
def test_suggestions(name, new):
    assert suggested(name) == new
    assert suggested(name, [new]) not in (name, new)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(
    st.text(max_size=130) | st.sampled_from(sorted(RESERVED | set(BATCH))), st.lists(st.text(max_size=4), max_size=3)
)
def test_a_suggestion_is_legal_new_and_can_be_pasted(name, taken):
    new = suggested(name, taken)
    assert problem(new, "context") is None and new not in taken and new.isascii()
    if name.isprintable():
        pasted = way_out(name, taken).partition(": ")[2].partition(", and write")[0]
        assert yaml.safe_load(pasted) == {"data.columns": {new: name}}


@pytest.mark.parametrize("key", ["sparse", "dense", "text", "vectors"])
@pytest.mark.parametrize("name", ["order", "labels", "query", "item_vector", "logits", "release", "known_user"])
def test_reserved_names_are_refused_before_anything_is_read(key, name):
    config = schema([name]) if key == "sparse" else schema(**{key: [name]})
    expected = f"^schema.{key}: '{name}' .*reserved; rename it: data.columns: {{{name}_value: {name}}}"
    with pytest.raises(ConfigError, match=expected):
        check_names(config)


def test_a_cross_with_a_reserved_name_is_refused():
    with pytest.raises(ConfigError, match=r"schema.crosses: \['item', 'ids'\] would be .*'item_ids'.*item_value"):
        check_names(schema(["item", "ids"], crosses=[["item", "ids"]]))


def test_labels_are_files_too():
    check_names(schema(), ["long view"])
    with pytest.raises(ConfigError, match="data.labels: 'a/b' .*{a_b: \"a/b\"}"):
        check_names(schema(), ["a/b"])


@pytest.mark.parametrize("name", sorted(set(BATCH) - {"label"}))
def test_what_a_training_batch_holds_is_no_context_feature(name):
    kinds = {"users": {"user_id": "int"}, "items": {"item_id": "int"}, "interactions": {name: "int"}}
    with pytest.raises(ConfigError, match=f"interactions.{name} cannot be a feature, this name is reserved"):
        raw_features(schema([name]), kinds)
    of_item = {**kinds, "items": {"item_id": "int", name: "int"}, "interactions": {}}
    assert name in [feature.name for feature in raw_features(schema([name]), of_item)]
