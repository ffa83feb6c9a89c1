"""The side of each column, and configurations that are refused."""

import pytest

from cascade.core.errors import ConfigError
from cascade.workflows.config import SchemaConfig
from cascade.workflows.tables.raw_features import check_known_before, raw_features

KINDS = {
    "users": {"user_id": "int", "age": "int", "geo": "string", "tastes": "list_string"},
    "items": {"item_id": "string", "brand": "string", "price": "float", "genres": "list_int"},
    "interactions": {
        **{"user_id": "int", "item_id": "string", "timestamp": "int", "label": "int", "positive": "int"},
        **{"device": "string", "hour": "int", "tags": "list_string"},
    },
}


def features(sparse=(), dense=(), crosses=()):
    schema = SchemaConfig(sparse=["user_id", "item_id", *sparse], dense=list(dense), crosses=list(crosses))
    return raw_features(schema, KINDS)


def test_sides_follow_from_the_tables():
    found = features(["brand", "geo", "device", "genres"], ["price", "age", "hour"], [["geo", "device"]])
    assert [(f.name, f.side, f.role) for f in found] == [
        ("user_id", "user", "categorical"),
        ("geo", "user", "categorical"),
        ("age", "user", "continuous"),
        ("device", "context", "categorical"),
        ("hour", "context", "continuous"),
        ("geo_device", "context", "cross"),
        ("item_id", "item", "categorical"),
        ("brand", "item", "categorical"),
        ("genres", "item", "categorical"),
        ("price", "item", "continuous"),
    ]
    assert [f.name for f in found if f.is_list] == ["genres"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"sparse": ["brnd"]}, r"schema.sparse: 'brnd' is in no table, did you mean 'brand'\?"),
        ({"dense": ["geo"]}, "schema.dense: users.geo is of type string, expected a number"),
        ({"dense": ["label"]}, "'label' is not known before the event"),
        ({"sparse": ["age"], "dense": ["age"]}, "'age' is in schema.sparse too"),
        ({"sparse": ["tags"]}, "interactions.tags is a list"),
        ({"sparse": ["geo", "geo"]}, "geo is named twice"),
        ({"sparse": ["brand", "geo"], "crosses": [["brand", "geo"]]}, "an item column crosses only with item columns"),
        ({"sparse": ["genres", "brand"], "crosses": [["genres", "brand"]]}, "a list column cannot be crossed"),
        ({"sparse": ["brand"], "crosses": [["brand", "brnd"]]}, "'brnd' is not in schema.sparse, did you mean 'brand'"),
        ({"sparse": ["brand"], "crosses": [["brand"]]}, "two or more different columns"),
    ],
)
def test_refuses(asked, message):
    with pytest.raises(ConfigError, match=message):
        features(**asked)


def test_a_column_in_two_tables_has_no_side():
    kinds = {**KINDS, "items": {**KINDS["items"], "geo": "string"}}
    with pytest.raises(ConfigError, match="'geo' is in users and items"):
        raw_features(SchemaConfig(sparse=["user_id", "item_id", "geo"]), kinds)


def test_what_is_known_only_afterwards_is_not_a_feature():
    with pytest.raises(ConfigError, match="'rating' is a feature, and data.positive reads it"):
        check_known_before(SchemaConfig(sparse=["user_id", "item_id"], dense=["rating"]), {"rating"}, "data.positive")
