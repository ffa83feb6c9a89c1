"""The examples hold for the data that they are written for."""

from pathlib import Path

import pytest

from cascade.config import load_config
from cascade.workflows.features import sides_of

EXAMPLES = Path(__file__).parents[2] / "examples"
IDS = {"user_id": "int", "item_id": "int", "timestamp": "int"}
KINDS = {
    "ml-1m.yaml": {
        "interactions": {**IDS, "rating": "int"},
        "users": {"user_id": "int", "gender": "string", "age": "int", "occupation": "int", "zip": "string"},
        "items": {"item_id": "int", "title": "string", "genres": "list_string", "year": "int"},
    },
    "beauty.yaml": {
        "interactions": IDS,
        "users": {"user_id": "int"},
        "items": {"item_id": "int", "attributes": "list_int"},
    },
    "shop.yaml": {
        "interactions": {**IDS, "session_time": "float", "device": "string", "label": "int"},
        "users": {"user_id": "int", "age_norm": "float", "geo": "string"},
        "items": {
            **{"item_id": "int", "brand": "string", "category": "string"},
            **{"price": "float", "discount": "float"},
        },
    },
}


def test_every_example_is_here():
    assert {file.name for file in EXAMPLES.glob("*.yaml")} == set(KINDS)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_reads_and_fits_its_tables(name):
    sets = [] if name == "shop.yaml" else ["data.path=anywhere"]
    config, _ = load_config(EXAMPLES / name, sets, environ={})
    found = {feature.name for feature in sides_of(config.section("schema"), KINDS[name])}
    embedded = set(config.two_tower.user_tower.emb_dims) | set(config.two_tower.item_tower.emb_dims)
    assert embedded <= found
